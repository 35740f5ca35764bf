"""A contract cannot have a login of its reader's environment sent to a host of its own choice."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from data_checks.base.errors import SourceError
from data_checks.contract.source_settings import has_credentials
from data_checks.readers.database.guards import refuse_borrowed_login
from data_checks.sources.sources import ingest
from tests.data_checks.conftest import small_contract, small_frame
from tests.postgres import PASSWORD

QUERY = "SELECT * FROM items ORDER BY id"


def read(folder: Path, url: str, **options: str) -> int:
    source = {"kind": "sql", "query": QUERY, "url": url}
    return ingest(
        small_contract(source=source), folder / "t.parquet", data_dir=folder, **options
    ).rows


@pytest.fixture
def trap():
    """Something that listens, as PostgreSQL would, and notes who comes."""
    came = []
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            came.append(stream.recv(100))
            stream.close()

    threading.Thread(target=answer, daemon=True).start()
    yield listener.getsockname()[1], came
    listener.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://127.0.0.1:{port}/db",
        "postgresql+psycopg://tester@127.0.0.1:{port}/db",
        "postgresql+psycopg:///db?host=127.0.0.1&port={port}",
        "postgresql+psycopg://db.example/db?hostaddr=127.0.0.1&port={port}",
        "postgresql+psycopg://db.example,127.0.0.1:{port}/db",
        "postgresql+psycopg://db.example/db?host=db.example&host=127.0.0.1:{port}",
        "postgresql+psycopg://127.0.0.1:{port}/db?service=prod",
    ],
)
@pytest.mark.parametrize("variable", ["PGPASSWORD", "PGSERVICE"])
def test_no_login_leaves_for_a_host_that_only_the_contract_names(
    tmp_path, monkeypatch, trap, url, variable
):
    port, came = trap
    monkeypatch.setenv(variable, PASSWORD)
    monkeypatch.setenv("PGHOST", "db.example")
    with pytest.raises(SourceError, match="url_variable") as caught:
        read(tmp_path, url.format(port=port))
    assert PASSWORD not in str(caught.value)
    assert not came


def test_the_password_is_sent_where_the_environment_says(tmp_path, monkeypatch, postgres):
    engine = sa.create_engine(postgres)
    small_frame().to_sql("items", engine, index=False, if_exists="replace")
    engine.dispose()
    bare = postgres.replace(f":{PASSWORD}", "")
    host = sa.make_url(bare).host
    monkeypatch.delenv("PGHOST", raising=False)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with pytest.raises(SourceError, match=f"PGHOST={host}"):
        read(tmp_path, bare)
    assert read(tmp_path, "postgresql+psycopg://elsewhere/db", data=bare) == 30  # our own address
    monkeypatch.setenv("PGHOST", host)
    assert read(tmp_path, bare) == 30
    monkeypatch.setenv("PGPORT", str(sa.make_url(bare).port))
    assert read(tmp_path, "postgresql+psycopg://tester@/postgres") == 30


def test_other_databases(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.delenv("MYSQL_PWD", raising=False)
    refuse_borrowed_login("place", sa.make_url("mysql://u@h/d"))
    refuse_borrowed_login("place", sa.make_url("sqlite:////data/items.db"))
    monkeypatch.setenv("MYSQL_PWD", PASSWORD)
    for url in ("mysql+mysqldb://u@h/d", "mariadb://u@h/d"):
        with pytest.raises(SourceError, match="MYSQL_HOST=h"):
            refuse_borrowed_login("place", sa.make_url(url))
    with pytest.raises(SourceError, match="read_default_file"):
        refuse_borrowed_login(
            "place", sa.make_url("mysql://u@/d?read_default_file=/home/ann/.my.cnf")
        )


@pytest.mark.parametrize(
    ("url", "holds"),
    [
        ("postgresql://u:p@h/d", True),
        ("postgresql://h/d?user=u&password=p", True),
        ("postgresql://h/d?p%61ssword=p", True),
        ("mysql://h/d?passwd=p", True),
        ("postgresql://u@h/d?application_name=password", False),
        ("postgresql://h:1/d", False),
    ],
)
def test_a_password_is_seen_wherever_a_driver_would_find_it(url, holds):
    assert has_credentials(url) is holds
