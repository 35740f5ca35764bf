"""Server processes: start, wait until they answer, stop with everything they started.

`dagmm ui`, `dagmm serve`, `dagmm services`, the serving check and the tests go through here.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import typer

from flows.common.errors import ServiceUnreachable
from flows.common.settings import Settings

STOP_SECONDS = 10
START_SECONDS = 120
LOG_TAIL = 600
API_OF_PAGES = "PREFECT_UI_API_URL"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Ours are asked directly, never through a proxy that the environment names."""


def serve_pages(settings: Settings) -> None:
    """Start both servers where none is configured, print their addresses, wait for Ctrl-C.

    Raises:
        ServiceUnreachable: A server ended by itself; its own message is above ours.
    """
    servers: dict[str, subprocess.Popen[bytes]] = {}
    if settings.embedded_tracking:
        servers["MLflow"] = start(
            "mlflow",
            "server",
            *("--backend-store-uri", settings.tracking_uri),
            *("--artifacts-destination", settings.artifacts.as_uri()),
            *("--host", "127.0.0.1", "--port", str(settings.mlflow_port), "--workers", "1"),
        )
    typer.echo(f"MLflow   {settings.mlflow_url}/#/experiments?workflowType=machine_learning")
    if settings.prefect_api_url is None:
        servers["Prefect"] = start_prefect(settings.prefect_port)
        typer.echo(f"Prefect  http://127.0.0.1:{settings.prefect_port}")
    else:
        typer.echo(f"Prefect  {settings.prefect_api_url.removesuffix('/api')}")
    if not servers:
        return
    typer.echo("Ctrl-C stops both.")
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


def start(
    name: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program that is installed beside this interpreter, in a process group of its own.

    Args:
        name: Program, e.g. ``mlflow``.
        arguments: Its arguments. They are visible to everybody on the machine: no secrets.
        environment: Added to ours.
        log: File that what it says is appended to; else its errors go where ours go.
        cwd: Its working directory.
    """
    binaries = Path(sys.executable).parent
    stream = subprocess.DEVNULL if log is None else log.open("ab")
    try:
        return subprocess.Popen(  # noqa: S603
            [binaries / name, *arguments],
            stdout=stream,
            stderr=None if log is None else subprocess.STDOUT,
            start_new_session=True,
            cwd=cwd,
            env={
                **os.environ,
                # MLflow's workers for chat evaluation would take five processes for nothing.
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}",  # it calls uvicorn
                **(environment or {}),
            },
        )
    finally:
        if not isinstance(stream, int):
            stream.close()


def start_prefect(
    port: int,
    host: str = "127.0.0.1",
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a Prefect server, on the database that the environment names."""
    arguments = ("server", "start", "--host", host, "--port", str(port))
    # Its pages would ask for data at Prefect's own default port.
    pages = {API_OF_PAGES: os.environ.get(API_OF_PAGES, f"http://127.0.0.1:{port}/api")}
    return start("prefect", *arguments, environment={**pages, **(environment or {})}, log=log)


def wait_for(
    health: str,
    server: subprocess.Popen[bytes],
    seconds: float = START_SECONDS,
    log: Path | None = None,
) -> None:
    """Return when a server answers at its health address.

    Raises:
        ServiceUnreachable: It ended, or did not answer in time; the message ends as its log does.
    """
    deadline = time.monotonic() + seconds
    while not answers(health):
        if (ended := server.poll() is not None) or time.monotonic() > deadline:
            why = f"it ended with code {server.returncode}" if ended else f"{seconds:g} s are over"
            tail = log_tail(log) if log else "is its port in use?"
            raise ServiceUnreachable(f"{health} does not answer: {why}; {tail}")
        time.sleep(0.2)


def log_tail(log: Path) -> str:
    """The end of what a server said, for a message."""
    return log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]


def answers(url: str, seconds: float = 5) -> bool:
    """Whether an address answers with success."""
    try:
        with OPENER.open(url, timeout=seconds):
            return True
    except OSError:
        return False


def stop(server: subprocess.Popen[bytes]) -> None:
    """End a server with all its workers: both MLflow and Prefect start processes of their own."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):  # what does not listen is ended below
        server.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def free_port() -> int:
    """A port on loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
