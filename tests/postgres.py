"""A PostgreSQL server of the tests' own, started as `dagmm services` starts one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flows.services.servers import free_port
from flows.services.team.postgres import HOST, Postgres, find_programs
from tests.temporary import open_folder

PASSWORD = "s3cret-Pa55"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server on loopback, in a temporary folder; its address, with the password."""
    if find_programs() is None:
        pytest.skip("PostgreSQL's initdb is not installed (apt-get install postgresql)")
    with open_folder() as folder:
        server = Postgres(folder, free_port(), PASSWORD, user="tester", durable=False)
        server.start()
        try:
            yield f"postgresql+psycopg://tester:{PASSWORD}@{HOST}:{server.port}/postgres"
        finally:
            server.stop()
