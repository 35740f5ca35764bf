"""`dagmm ui`: the pages of MLflow and Prefect, on loopback until Ctrl-C."""

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from flows.common import progress
from flows.common.errors import ServiceUnreachable
from flows.common.server_address import announced
from flows.common.settings import Settings
from flows.services import keeper, mlflow_app, servers
from flows.services.door import login_page, origins
from flows.services.embedded import Embedded, Home, prefect_server


def serve_pages(
    settings: Settings, links: Callable[[str], Iterable[str]], verdicts: str | None = None
) -> None:
    """Start what is configured nowhere else, print where it answers, wait for Ctrl-C.

    Args:
        settings: The home and its ports.
        links: What to print of MLflow's pages, given its address.
        verdicts: Where rows are judged, on pages that whoever calls serves.

    Raises:
        ServiceUnreachable: A server did not start, or ended by itself.
    """
    mlflow = prefect = None
    addresses = [settings.mlflow_url, str(settings.prefect_api_url).removesuffix("/api")]
    auth = Home(settings).auth()
    with ExitStack() as stack:
        if settings.embedded_tracking:
            progress.note("starting MLflow")
            mlflow = stack.enter_context(mlflow_server(settings, auth))
            addresses[0] = login_page(mlflow.address, auth)
        if settings.prefect_api_url is None:
            progress.note("starting Prefect")
            prefect = stack.enter_context(prefect_server(settings, pages=True, tell=progress.note))
            addresses[1] = login_page(prefect.url, auth)
        if mlflow is not None:
            servers.wait_for(f"{mlflow.address}/health", mlflow.process, mlflow.log)
        typer.echo(f"MLflow   {addresses[0]}")
        if mlflow is not None:  # which, left alone, opens on pages for chat models
            for line in links(mlflow.address):
                typer.echo(f"         {line}")
        typer.echo(f"Prefect  {addresses[1]}")
        if verdicts is not None:
            typer.echo(f"Verdicts {verdicts}")
        elif mlflow is None and prefect is None:
            return
        typer.echo("Ctrl-C stops what was started here.")
        try:
            _watch(mlflow, prefect)
        except KeyboardInterrupt:
            typer.echo("stopped")


@dataclass(frozen=True)
class _MLflow:
    process: subprocess.Popen[bytes]
    address: str
    log: Path


def _watch(mlflow: _MLflow | None, prefect: Embedded | None) -> None:
    while True:
        time.sleep(0.5)
        if mlflow is not None and mlflow.process.poll() is not None:
            raise ServiceUnreachable(f"MLflow ended by itself; see {mlflow.log}")
        if prefect is not None and not keeper.lives(prefect.keeper):
            raise ServiceUnreachable("Prefect ended by itself; see prefect/server.log in the home")


@contextmanager
def mlflow_server(settings: Settings, auth: str) -> Iterator[_MLflow]:
    """MLflow's server, starting; ended with the block."""
    port = servers.next_free(settings.mlflow_port, "DAGMM_MLFLOW_PORT", progress.note)
    log = settings.home.resolve() / "logs" / "mlflow.log"
    log.parent.mkdir(exist_ok=True)
    address = f"http://127.0.0.1:{port}"
    environment = {
        mlflow_app.AUTH: auth,
        mlflow_app.STORE: settings.tracking_uri,
        mlflow_app.ARTIFACTS: settings.artifacts.as_uri(),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": origins(port),
    }
    process = servers.start(
        *("-m", "flows.services.mlflow_app", str(port)),
        environment=environment,
        log=log,
    )
    try:
        with announced(settings.mlflow_served, address):
            yield _MLflow(process, address, log)
    finally:
        servers.stop(process)
