"""The Prefect server of a home: one for all commands that need it at the same time.

Whoever needs it says so with a file in `prefect/holders`; the first starts it, and its keeper ends
it when nobody has needed it for `DAGMM_PREFECT_IDLE_SECONDS`, also when all of them were killed.
`prefect/server.json` says where it is. What answers there is believed only when it can prove that
it knows the login of this home.
"""

import hashlib
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout

from flows.common.errors import ServiceUnreachable
from flows.common.settings import Settings
from flows.services import keeper, servers
from flows.services.door import WHO, origins, proof
from flows.services.prefect_app import AUTH, CORS
from flows.services.prefect_clients import clients_of
from flows.stages.workspace import write_atomic

ANSWER_SECONDS = 30.0
"""A server that does not answer for so long is ended; whoever started it has waited."""


@dataclass(frozen=True)
class Embedded:
    """A running server of a home.

    Attributes:
        keeper: Its keeper, as PID-BIRTH; its process group is the server.
        port: On loopback.
        made_of: Digest of the programs and settings that it was started with.
        pages: Whether it answers where people look for the pages; else it is a command's, and the
            next one answers elsewhere.
    """

    keeper: str
    port: int
    made_of: str = ""
    pages: bool = False

    @property
    def url(self) -> str:
        """Address of the pages."""
        return f"http://127.0.0.1:{self.port}"

    def is_ours(self, auth: str) -> bool:
        """Whether the server of this home answers there, and not another one."""
        challenge = secrets.token_hex()
        try:
            with servers.OPENER.open(f"{self.url}{WHO}?challenge={challenge}", timeout=5) as answer:
                answered = answer.read(200).decode("ascii", "replace")
        except OSError:
            return False
        return secrets.compare_digest(answered, proof(auth, self.port, challenge))

    def end(self, signal_number: int = signal.SIGTERM) -> None:
        """Tell the keeper, if it is still the process that was written down."""
        if keeper.lives(self.keeper):
            with suppress(ProcessLookupError):
                os.kill(int(self.keeper.partition("-")[0]), signal_number)


class Home:
    """What lies in a home about its server."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.home.resolve() / "prefect"
        self.holders = self.folder / "holders"
        self.holders.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "server.log"
        self._record = self.folder / keeper.RECORD
        self._login = self.folder / "login"

    def lock(self) -> FileLock:
        """One at a time finds, starts and ends the server."""
        return FileLock(self.folder / keeper.LOCK, timeout=servers.START_SECONDS)

    def auth(self) -> str:
        """The login of the home's server, made at first use; only its owner may read it."""
        with suppress(FileNotFoundError):
            return self._login.read_text(encoding="ascii")
        auth = f"dagmm:{secrets.token_urlsafe(32)}"
        with os.fdopen(os.open(self._login, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
            f.write(auth)
        return auth

    def read(self) -> Embedded | None:
        """The server that was written down, whether it lives or not.

        Not that of another place: a home that is copied or moved brings its file along, and the
        server goes on with the database there, for as long as it is needed there.
        """
        try:
            written = json.loads(self._record.read_text(encoding="utf-8"))
            here = written.pop("folder", "") == str(self.folder)
            return Embedded(**written) if here else None
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def write(self, server: Embedded) -> None:
        """Write down where the server is."""
        write_atomic(self._record, json.dumps({"folder": str(self.folder), **asdict(server)}))

    def forget(self) -> None:
        """The server is told to end: nobody may count on it any more."""
        self._record.unlink(missing_ok=True)

    def is_needed(self, other_than: Path) -> bool:
        """Whether another need than one is written down."""
        return any(keeper.lives(file.name) for file in self.holders.iterdir() if file != other_than)

    def sweep(self) -> bool:
        """Remove the files of holders that are gone; whether any is left."""
        for file in self.holders.iterdir():
            if not keeper.lives(file.name):
                file.unlink(missing_ok=True)
        return any(self.holders.iterdir())


@contextmanager
def prefect_server(
    settings: Settings, *, pages: bool = False, tell: Callable[[str], None] = lambda _text: None
) -> Iterator[Embedded]:
    """The home's server, for as long as the block lasts; Prefect's clients here find it.

    Args:
        settings: The home, and the port of the pages.
        pages: Start it on the port of the pages; else on any.
        tell: Is told when that port is taken.

    Raises:
        ServiceUnreachable: It does not start, or the port that was asked for is taken.
    """
    home = Home(settings)
    mine = home.holders / f"{keeper.identity()}-{secrets.token_hex(4)}"
    mine.touch()
    try:
        try:
            with home.lock():
                auth = home.auth()
                server = _running(home, auth, mine, settings.prefect_port if pages else None)
                server = server or _started(home, auth, settings, pages, tell)
        except Timeout:
            raise ServiceUnreachable(f"{home.folder}: another command starts the server") from None
        shown = server.url if server.pages else f"http://127.0.0.1:{settings.prefect_port}"
        with clients_of(server.url, auth, shown):
            yield server
    finally:
        mine.unlink(missing_ok=True)
        with home.lock():
            last = home.read()
            needed = home.sweep()
            waits = settings.prefect_idle_seconds > 0 and not pages  # else its keeper ends it
            if last is not None and not needed and not waits:
                home.forget()
                last.end()


def _running(home: Home, auth: str, mine: Path, port: int | None) -> Embedded | None:
    """The server that runs already; one that does not answer any more is ended.

    So is one that only waits, where it was started by another installation or with other settings,
    or where its pages are wanted on another port.
    """
    server = home.read()
    if server is None:
        return None
    fits = server.made_of == _made_of() and port in (None, server.port)
    if not fits and not home.is_needed(other_than=mine):
        server.end()
        home.forget()
        return None
    deadline = time.monotonic() + ANSWER_SECONDS
    while keeper.lives(server.keeper) and time.monotonic() < deadline:
        if server.is_ours(auth):
            return server
        time.sleep(0.1)
    server.end()
    home.forget()
    return None


def _started(
    home: Home, auth: str, settings: Settings, pages: bool, tell: Callable[[str], None]
) -> Embedded:
    port = servers.free_port()
    if pages:
        port = servers.next_free(settings.prefect_port, "DAGMM_PREFECT_PORT", tell)
    environment = {
        **_store(home),
        **servers.pages_of_prefect(home.folder),
        AUTH: auth,
        "PREFECT_API_AUTH_STRING": auth,
        CORS: origins(port),
        servers.API_OF_PAGES: f"http://127.0.0.1:{port}/api",
        servers.PAGES: f"http://127.0.0.1:{port}",
    }
    process = servers.start(
        *("-m", "flows.services.prefect_app", str(port)),
        environment=environment,
        log=home.log,
        holders=str(home.holders),
        idle_seconds=settings.prefect_idle_seconds,
    )
    server = Embedded(keeper.identity(process.pid), port, _made_of(), pages)
    home.write(server)
    deadline = time.monotonic() + servers.START_SECONDS
    while not server.is_ours(auth):
        if process.poll() is not None or time.monotonic() > deadline:
            home.forget()
            server.end()
            raise ServiceUnreachable(
                f"Prefect's server did not start: {servers.log_tail(home.log)}"
            )
        time.sleep(0.05)
    return server


def _store(home: Home) -> dict[str, str]:
    """Where the server keeps what it knows, and how, unless the environment says otherwise."""
    defaults = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home.folder}/prefect.db",
        # With it on, the server's telemetry loop fights the run for the SQLite lock.
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    return {name: value for name, value in defaults.items() if name not in os.environ}


def _made_of() -> str:
    """What a server that waits must have in common with who comes: programs and their settings."""
    ours = {name: os.environ[name] for name in os.environ if name.startswith("PREFECT_SERVER_")}
    whole = [sys.executable, version("prefect"), version("dagmm-pipeline"), sorted(ours.items())]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()
