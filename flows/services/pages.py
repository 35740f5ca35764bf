"""`dagmm ui`: the pages of MLflow and Prefect, on loopback until Ctrl-C."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from flows.common import progress
from flows.common.errors import ServiceUnreachable
from flows.common.settings import Settings
from flows.services import keeper, servers
from flows.services.embedded import Embedded, Home, next_free, prefect_server


def serve_pages(settings: Settings) -> None:
    """Start what is configured nowhere else, print where it answers, wait for Ctrl-C.

    Raises:
        ServiceUnreachable: A server did not start, or ended by itself.
    """
    mlflow = prefect = None
    addresses = [settings.mlflow_url, str(settings.prefect_api_url).removesuffix("/api")]
    with ExitStack() as stack:
        if settings.embedded_tracking:
            progress.note("starting MLflow")
            mlflow = stack.enter_context(_mlflow(settings))
            addresses[0] = mlflow.address
        if settings.prefect_api_url is None:
            progress.note("starting Prefect")
            prefect = stack.enter_context(prefect_server(settings, pages=True, tell=progress.note))
            addresses[1] = prefect.page(Home(settings).auth())
        if mlflow is not None:
            servers.wait_for(f"{mlflow.address}/health", mlflow.process, mlflow.log)
        typer.echo(f"MLflow   {addresses[0]}/#/experiments?workflowType=machine_learning")
        typer.echo(f"Prefect  {addresses[1]}")
        if mlflow is None and prefect is None:
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
def _mlflow(settings: Settings) -> Iterator[_MLflow]:
    """MLflow's server, starting; ended with the block."""
    port = next_free(settings.mlflow_port, "DAGMM_MLFLOW_PORT", progress.note)
    log = settings.home.resolve() / "logs" / "mlflow.log"
    log.parent.mkdir(exist_ok=True)
    address = f"http://127.0.0.1:{port}"
    process = servers.start(
        *("mlflow", "server"),
        *("--backend-store-uri", settings.tracking_uri),
        *("--artifacts-destination", settings.artifacts.as_uri()),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--cors-allowed-origins", f"{address},http://localhost:{port}"),
        log=log,
    )
    try:
        yield _MLflow(process, address, log)
    finally:
        servers.stop(process)
