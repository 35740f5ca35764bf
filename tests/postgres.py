"""A PostgreSQL server of the tests' own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PASSWORD = "s3cret-Pa55"


def postgres_folder() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of our own on loopback, in a temporary folder, as an unprivileged user."""
    binaries = postgres_folder()
    if binaries is None:
        pytest.skip("PostgreSQL's initdb is not installed (apt-get install postgresql)")
    root = os.geteuid() == 0
    if root and not any(user.pw_name == "nobody" for user in pwd.getpwall()):
        pytest.skip("PostgreSQL refuses to run as root, and there is no user 'nobody'")
    folder = Path("/tmp") / f"dagmm-postgres-{os.getpid()}"
    folder.mkdir(mode=0o700)
    if root:
        shutil.chown(folder, "nobody")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    secret = folder / "secret"
    secret.write_text(PASSWORD)
    if root:
        shutil.chown(secret, "nobody")

    def run(*command: str) -> None:
        user = "nobody" if root else None
        subprocess.run(command, check=True, capture_output=True, user=user, cwd=folder, timeout=120)

    data = str(folder / "data")
    options = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    )
    run(
        f"{binaries}/initdb",
        "-D",
        data,
        "-U",
        "tester",
        "-A",
        "scram-sha-256",
        f"--pwfile={secret}",
        "-E",
        "UTF8",
        "--locale=C",
    )
    run(f"{binaries}/pg_ctl", "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start")
    try:
        yield f"postgresql+psycopg://tester:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        run(f"{binaries}/pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)
