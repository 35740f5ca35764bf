"""A PostgreSQL server of our own: one data folder, loopback only, no socket file.

For `dagmm services` and for the tests. The programs are those of the system's PostgreSQL package.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from flows.common.errors import ServiceUnreachable, UsageError
from flows.services.servers import log_tail

HOST = "127.0.0.1"
ACCOUNTS = ("postgres", "nobody")
"""Who runs the server where we are root, which PostgreSQL refuses to be."""
SECONDS = 120


def find_programs() -> Path | None:
    """Folder of the newest installed PostgreSQL's programs; None where there is none."""
    packaged = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(packaged, key=lambda path: int(path.parts[-3]), default=None)
    chosen = newest or shutil.which("initdb")
    return Path(chosen).parent if chosen else None


@dataclass(frozen=True)
class Postgres:
    """Where a server keeps its data and how it is reached.

    Attributes:
        folder: Holds `data` and `log`; made at the first start.
        port: Port on loopback.
        password: Of `user`, who owns every database; set at the first start.
        user: Name of the owner.
        durable: Whether commits wait for the disk. Only tests may do without.
    """

    folder: Path
    port: int
    password: str = field(repr=False)
    user: str = "dagmm"
    durable: bool = True

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "log"

    def uri(self, driver: str, database: str) -> str:
        """Address without the password, which servers take from `PGPASSWORD`."""
        return f"postgresql+{driver}://{self.user}@{HOST}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait for it; a first start makes its folder. A running one stays.

        Raises:
            ServiceUnreachable: It did not start; PostgreSQL's own message is in ours.
        """
        if self.running():
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (account := _account()) is not None:
            shutil.chown(self.folder, account)
        if not self.data.exists():
            self._make()
        options = [f"-p {self.port}", f"-c listen_addresses={HOST}", "-c max_connections=300"]
        options += ["-c unix_socket_directories=''", f"-c fsync={'on' if self.durable else 'off'}"]
        try:
            self._as_owner(
                "pg_ctl", "-D", self.data, "-l", self.log, "-o", " ".join(options),
                "-t", SECONDS, "-w", "start",
            )  # fmt: skip
        except ServiceUnreachable as error:
            raise ServiceUnreachable(f"{error}: {log_tail(self.log)}") from None

    def stop(self) -> None:
        """End the server; open transactions are rolled back, everything committed is kept."""
        self._as_owner("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")

    def running(self) -> bool:
        """Whether the server of this data folder runs."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return False
        return psutil.pid_exists(pid)

    def client(self, program: str, *arguments: object) -> str:
        """Run one of PostgreSQL's client programs as the owner of the databases.

        Raises:
            ServiceUnreachable: The program failed; its own message is in ours.
        """
        where = ["-h", HOST, "-p", self.port, "-U", self.user, "-w"]
        return _run([_program(program), *where, *arguments], {"PGPASSWORD": self.password})

    def create_missing(self, databases: tuple[str, ...]) -> None:
        """Create the databases that are not there yet."""
        listed = self.client("psql", "-d", "postgres", "-Atc", "SELECT datname FROM pg_database")
        for name in set(databases) - set(listed.split()):
            self.client("createdb", name)

    def _make(self) -> None:
        account = _account()
        with tempfile.NamedTemporaryFile("w", prefix="dagmm-", dir=self.folder) as secret:
            secret.write(self.password)
            secret.flush()
            if account is not None:
                shutil.chown(secret.name, account)
            self._as_owner(
                "initdb", "-D", self.data, "-U", self.user, "-A", "scram-sha-256",
                f"--pwfile={secret.name}", "-E", "UTF8", "--locale=C",
            )  # fmt: skip

    def _as_owner(self, program: str, *arguments: object) -> None:
        _run([_program(program), *arguments], {}, account=_account(), cwd=self.folder)


def _program(name: str) -> Path:
    folder = find_programs()
    if folder is None:
        raise UsageError("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return folder / name


def _account() -> str | None:
    """Account to run the server under; None for our own.

    Raises:
        UsageError: We are root, and none of the accounts that could run it exists.
    """
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in ACCOUNTS:
        if name in known:
            return name
    raise UsageError(f"PostgreSQL refuses to run as root, and no user {' or '.join(ACCOUNTS)}")


def _run(
    command: list[object],
    environment: dict[str, str],
    account: str | None = None,
    cwd: Path | None = None,
) -> str:
    # A file, not a pipe: the server that `pg_ctl start` leaves behind would hold a pipe open.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(  # noqa: S603
            [str(part) for part in command],
            env={**os.environ, **environment},
            user=account,
            cwd=cwd,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=30 * SECONDS,
            check=False,
        )
        output.seek(0)
        message = output.read().decode(errors="replace").strip()
    if done.returncode:
        raise ServiceUnreachable(f"{Path(str(command[0])).name}: {message or done.returncode}")
    return message
