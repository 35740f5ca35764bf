"""`dagmm ui`: the MLflow and Prefect pages of the embedded stores, on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import typer

from flows.errors import ServiceUnreachable
from flows.settings import Settings

STOP_SECONDS = 10


def serve_pages(settings: Settings) -> None:
    """Start both servers where none is configured, print their addresses, wait for Ctrl-C.

    Raises:
        ServiceUnreachable: A server ended by itself; its own message is above ours.
    """
    servers: dict[str, subprocess.Popen[bytes]] = {}
    if settings.embedded_tracking:
        servers["MLflow"] = _start(
            "mlflow",
            "server",
            *("--backend-store-uri", settings.tracking_uri),
            *("--artifacts-destination", settings.artifacts.as_uri()),
            *("--host", "127.0.0.1", "--port", str(settings.mlflow_port), "--workers", "1"),
        )
    typer.echo(f"MLflow   {settings.mlflow_url}/#/experiments?workflowType=machine_learning")
    if settings.prefect_api_url is None:
        servers["Prefect"] = start_prefect(settings)
        typer.echo(f"Prefect  http://127.0.0.1:{settings.prefect_port}")
    else:
        typer.echo(f"Prefect  {settings.prefect_api_url.removesuffix('/api')}")
    if not servers:
        return
    typer.echo("Ctrl-C stops both.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    try:
        while all(server.poll() is None for server in servers.values()):
            time.sleep(0.5)
        ended = ", ".join(name for name, server in servers.items() if server.poll() is not None)
        raise ServiceUnreachable(f"{ended} ended by itself; is its port in use?")
    except KeyboardInterrupt:
        typer.echo("stopped")
    finally:
        for server in servers.values():
            stop(server)


def start_prefect(settings: Settings) -> subprocess.Popen[bytes]:
    """Start a Prefect server on loopback, on the database under `home`."""
    port = str(settings.prefect_port)
    return _start("prefect", "server", "start", "--host", "127.0.0.1", "--port", port)


def stop(server: subprocess.Popen[bytes]) -> None:
    """End a server with all its workers: both MLflow and Prefect start processes of their own."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):  # what does not listen is ended below
        server.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def _start(name: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a program beside this interpreter in a process group of its own."""
    return subprocess.Popen(  # noqa: S603
        [Path(sys.executable).with_name(name), *arguments],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        # MLflow's workers for chat evaluation would take five processes for nothing.
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )
