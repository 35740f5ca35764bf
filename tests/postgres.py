"""A PostgreSQL server of the tests' own, started as `dagmm services` starts one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.services.servers import free_port
from flows.services.team.postgres import HOST, Postgres, find_programs

PASSWORD = "s3cret-Pa55"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server on loopback, in a temporary folder; its address, with the password."""
    if find_programs() is None:
        pytest.skip("PostgreSQL's initdb is not installed (apt-get install postgresql)")
    # Not below pytest's folder, which only its owner may enter: the server runs as somebody else.
    folder = Path(tempfile.mkdtemp(prefix="dagmm-postgres-"))
    server = Postgres(folder, free_port(), PASSWORD, user="tester", durable=False)
    server.start()
    try:
        yield f"postgresql+psycopg://tester:{PASSWORD}@{HOST}:{server.port}/postgres"
    finally:
        server.stop()
        shutil.rmtree(folder)
