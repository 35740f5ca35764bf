"""Server processes: start, wait until they answer, stop with everything they started.

Everything that this project starts and that listens goes through here.
"""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from flows.common.errors import ServiceUnreachable
from flows.services import keeper
from flows.services.door import origins
from flows.services.prefect_app import CORS

STOP_SECONDS = 10
START_SECONDS = 120
LOG_TAIL = 600
PORTS_TRIED = 20
SCARCE_BYTES = 32 << 20
FULL = ("disk is full", os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
UI_FOLDER = "PREFECT_SERVER_UI_STATIC_DIRECTORY"
API_OF_PAGES, PAGES = "PREFECT_UI_API_URL", "PREFECT_UI_URL"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Ours are asked directly, never through a proxy that the environment names."""


def start(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    log: Path,
    cwd: Path | None = None,
    holders: str | None = None,
    idle_seconds: float = 0,
) -> subprocess.Popen[bytes]:
    """Start this interpreter on something else, in a process group of its own.

    Libraries are started as modules: where pip puts their programs depends on the installation.
    It holds none of our streams, and ends when nobody is left who needs it, however we end.

    Args:
        arguments: Of the interpreter, e.g. ``-m mlflow``. They are visible to everybody on the
            machine: no secrets.
        environment: Added to ours.
        log: File that receives what it says.
        cwd: Its working directory.
        holders: Who needs it (see `flows.services.keeper`); this process unless given.
        idle_seconds: How long it waits for the next one who does.
    """
    with log.open("ab") as stream:
        return subprocess.Popen(  # noqa: S603
            [
                *(sys.executable, keeper.__file__, holders or keeper.identity(), str(idle_seconds)),
                *(sys.executable, "-P", *arguments),
            ],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=cwd,
            env={
                **os.environ,
                # MLflow's workers for chat evaluation would take five processes for nothing.
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                **(environment or {}),
            },
        )


def start_prefect(
    port: int, log: Path, host: str = "127.0.0.1", environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a Prefect server of its own, on the database and with the login of the environment."""
    arguments = ("-m", "prefect", "server", "start", "--host", host, "--port", str(port))
    # Its pages would ask for data at Prefect's own default port.
    pages = {API_OF_PAGES: os.environ.get(API_OF_PAGES, f"http://127.0.0.1:{port}/api")}
    page = urlsplit(pages[API_OF_PAGES])
    # By itself it would answer every page that a browser shows.
    allowed = {CORS: f"{origins(port)},{page.scheme}://{page.netloc}"}
    # Without it the messages that the server itself sends have no link.
    linked = {PAGES: os.environ.get(PAGES, f"{page.scheme}://{page.netloc}")}
    added = {**pages, **linked, **allowed, **(environment or {})}
    return start(*arguments, environment=added, log=log)


def pages_of_prefect(folder: Path, package: Path | None = None) -> dict[str, str]:
    """Environment by which Prefect's server unpacks its pages where it may.

    It would into its own package, which may be another user's: then it shows no page, and says so
    in its log only.

    Args:
        folder: Where they go instead.
        package: Where they would go.
    """
    if package is None:
        spec = find_spec("prefect")
        package = Path(spec.origin).parent / "server" if spec and spec.origin else folder
    if UI_FOLDER in os.environ or os.access(package, os.W_OK):
        return {}
    return {UI_FOLDER: str(folder / "pages")}


def wait_for(
    health: str, server: subprocess.Popen[bytes], log: Path, seconds: float = START_SECONDS
) -> None:
    """Return when a server answers at its health address.

    Raises:
        ServiceUnreachable: It ended, or did not answer in time; the message ends as its log does.
    """
    deadline = time.monotonic() + seconds
    while not answers(health):
        if (ended := server.poll() is not None) or time.monotonic() > deadline:
            why = f"it ended with code {server.returncode}" if ended else f"{seconds:g} s are over"
            raise ServiceUnreachable(f"{health} does not answer: {why}; {log_tail(log)}")
        time.sleep(0.2)


def log_tail(log: Path) -> str:
    """The end of what a server said, for a message; a full disk leaves it no room to say so."""
    text = log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:].strip()
    free = shutil.disk_usage(log.parent).free
    if free < SCARCE_BYTES or any(full in text for full in FULL):
        return (
            f"{log.parent}: {free / 2**20:.1f} MiB are free there, and a server needs some "
            f"{SCARCE_BYTES >> 20}; make room, or set DAGMM_HOME to a folder on another disk"
        )
    return text or f"it said nothing ({log})"


def answers(url: str, seconds: float = 5) -> bool:
    """Whether an address answers with success."""
    try:
        with OPENER.open(url, timeout=seconds):
            return True
    except OSError:
        return False


def stop(server: subprocess.Popen[bytes], seconds: float = STOP_SECONDS) -> None:
    """End a server with all its workers: both MLflow and Prefect start processes of their own.

    Args:
        server: As `start` gave it.
        seconds: For finishing what it is doing; none for one that keeps nothing.
    """
    if seconds:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):  # what does not listen is ended below
            server.wait(seconds)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def free_port() -> int:
    """A port on loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def next_free(wanted: int, variable: str, tell: Callable[[str], None]) -> int:
    """A port for pages.

    Args:
        wanted: From the settings.
        variable: That sets it.
        tell: Is told when another one is taken.

    Raises:
        ServiceUnreachable: It was set, and something that is not of this home listens there.
    """
    if is_free(wanted):
        return wanted
    message = f"port {wanted} is taken by something that is not of this home"
    if os.environ.get(variable):
        raise ServiceUnreachable(f"{message}; end it, or set {variable} to another port")
    port = next((p for p in range(wanted + 1, wanted + PORTS_TRIED) if is_free(p)), None)
    port = port or free_port()
    tell(f"{message}; {port} is used instead ({variable} sets it)")
    return port


def is_free(port: int) -> bool:
    """Whether a server can listen on a port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
