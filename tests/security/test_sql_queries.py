"""Queries of a contract that try to write, or to reach beside their database."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import sqlalchemy as sa

from data_checks.base.errors import DataError, MissingDataError, SourceError
from data_checks.readers.database.guards import check_query
from data_checks.sources.sources import ingest
from tests.data_checks.conftest import small_contract, small_frame

SELECT = "SELECT * FROM items ORDER BY id"


def read(folder: Path, url: str, query: str) -> int:
    source = {"kind": "sql", "query": query, "url_variable": "TEST_DATABASE_URL"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_DATABASE_URL", url)
        out = folder / "out" / "t.parquet"
        return ingest(small_contract(source=source), out, data_dir=folder).rows


def fill(url: str) -> None:
    engine = sa.create_engine(url)
    small_frame().to_sql("items", engine, index=False, if_exists="replace")
    engine.dispose()


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.glob("*") if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


WRITING = (
    "DROP TABLE items",
    "DELETE FROM items",
    "UPDATE items SET amount = 0",
    "INSERT INTO items SELECT * FROM items",
    "CREATE TABLE more AS SELECT * FROM items",
    "ALTER TABLE items ADD COLUMN more",
    "VACUUM INTO '{folder}/copy.db'",
    "/* SELECT */ VACUUM INTO '{folder}/copy.db'",
    "VACUUM",
    "REINDEX",
    "ATTACH '{folder}/other.db' AS other",
    "ATTACH 'file:{folder}/other.db?mode=rwc' AS other",
    "PRAGMA query_only = OFF",
    "PRAGMA user_version = 7",
    "SELECT 1; DROP TABLE items",
    "SELECT 1; COMMIT; DROP TABLE items",
    "COMMIT; DROP TABLE items",
    "WITH gone AS (SELECT 1) DELETE FROM items",
    "WITH more AS (SELECT * FROM items) INSERT INTO items SELECT * FROM more",
    "WITH gone AS (DELETE FROM items RETURNING *) SELECT * FROM gone",
    "SELECT * INTO more FROM items",
    "SELECT writefile('{folder}/written', 'x')",
    "SELECT load_extension('{folder}/code.so')",
    "SELECT * FROM pragma_user_version",
    "COPY items TO '{folder}/copy'",
    "SELECT nextval('numbers')",
    "SELECT setval('numbers', 9)",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SELECT lo_from_bytea(0, 'x')",
)


@pytest.mark.parametrize("query", WRITING)
def test_sqlite_is_only_read(tmp_path: Path, query: str) -> None:
    url = f"sqlite:///{tmp_path}/items.db"
    fill(url)
    before = content(tmp_path)
    with pytest.raises(DataError) as caught:
        read(tmp_path, url, query.format(folder=tmp_path))
    assert "\n" not in str(caught.value)
    assert content(tmp_path) == before
    assert read(tmp_path, url, SELECT) == 30


@pytest.mark.parametrize("address", ["sqlite:///file:{file}?mode=rwc&uri=true", "sqlite:///{file}"])
def test_a_missing_sqlite_file_is_not_made(tmp_path: Path, address: str) -> None:
    with pytest.raises(MissingDataError, match=r"none\.db"):
        read(tmp_path, address.format(file=tmp_path / "none.db"), "SELECT 1")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_sqlite_file_that_others_write_to_can_be_read(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/items.db"
    fill(url)
    engine = sa.create_engine(url)
    with engine.connect() as writer:
        writer.exec_driver_sql("PRAGMA journal_mode = WAL")
        writer.exec_driver_sql("UPDATE items SET amount = 1 WHERE id = 'r1'")
        assert read(tmp_path, url, SELECT) == 30
    engine.dispose()


def test_postgresql_is_only_read(tmp_path: Path, postgres: str) -> None:
    fill(postgres)
    engine = sa.create_engine(postgres)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SEQUENCE IF NOT EXISTS numbers")
        connection.exec_driver_sql("GRANT ALL ON SEQUENCE numbers TO PUBLIC")
    for query in WRITING:
        with pytest.raises(DataError) as caught:
            read(tmp_path, postgres, query.format(folder=tmp_path))
        assert "\n" not in str(caught.value)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT last_value FROM numbers").scalar() == 1
        assert connection.exec_driver_sql("SELECT count(*) FROM pg_largeobject").scalar() == 0
    engine.dispose()
    assert read(tmp_path, postgres, SELECT) == 30


@pytest.mark.parametrize(
    "query",
    [
        "SELECT dblink_exec('dbname=postgres', 'DELETE FROM items')",
        "SELECT * FROM dblink('dbname=postgres', 'DELETE FROM items RETURNING 1') AS t(x int)",
        "SELECT lo_export(16400, '/tmp/file')",
        "SELECT pg_create_physical_replication_slot('kept')",
        "SELECT pg_catalog.pg_reload_conf /* now */ ()",
        """SELECT "pg_terminate_backend"(7)""",
        "SELECT PG_READ_FILE('/etc/passwd')",
        "SELECT query_to_xml('SELECT ' || 'lo' || '_export(1, 2)', true, true, '')",
        """SELECT U&"dbl\\0069nk_exec"('a', 'b')""",
    ],
)
def test_functions_that_no_transaction_holds_are_refused(query: str) -> None:
    with pytest.raises(SourceError, match=r"must only read; .* outside of its transaction"):
        check_query("place", query, sa.make_url("postgresql+psycopg://h/d"))
    reading = "SELECT pg_typeof(x), 'pg_sleep(1)' FROM pg_stat_database"
    check_query("place", reading, sa.make_url("postgresql+psycopg://h/d"))


def test_signs_of_parameters_are_signs_of_the_query(tmp_path: Path, postgres: str) -> None:
    query = f"SELECT * FROM ({SELECT}) AS t WHERE kind <> ' :b %s %(b)s ?'"
    for url in (f"sqlite:///{tmp_path}/items.db", postgres):
        fill(url)
        assert read(tmp_path, url, query) == 30


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///:memory:", "sqlite://?uri=true"])
def test_a_sqlite_address_without_a_file_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(MissingDataError, match="no such file"):
        read(tmp_path, address, "SELECT 1")


@pytest.mark.parametrize("query", WRITING[:19])
def test_what_writes_anywhere_is_refused_unseen_by_a_database_without_a_guard(query: str) -> None:
    with pytest.raises(SourceError, match="must"):
        check_query("place", query, sa.make_url("duckdb:///x"))


@pytest.mark.parametrize(
    "query",
    [
        "select 1",
        "  -- rows of 2026; only good ones\nSELECT 1;\n",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "(SELECT 1) UNION (SELECT 2)",
        "VALUES (1)",
        "SELECT note FROM t WHERE note LIKE '%;%' AND kind = 'it''s'",
        "SELECT replace(note, 'insert', ''), \"update\" FROM t",
        "SELECT x::int, y[1], $tag$it$tag$ FROM t",
    ],
)
def test_reading_queries_are_accepted(query: str) -> None:
    check_query("place", query, sa.make_url("mysql://h/d"))


@pytest.mark.parametrize(
    "query",
    [
        r"SELECT 'a\'; DROP TABLE items; --'",
        "SELECT $$'$$; DROP TABLE items; --'",
        "SELECT 1 # '\n; DROP TABLE items -- '",
        "SELECT 1 /* /* */ ' */ ; DROP TABLE items --'",
        "SELECT `'`; DROP TABLE items; --'",
    ],
)
def test_a_statement_does_not_hide_behind_quotes_that_only_some_databases_know(query: str) -> None:
    with pytest.raises(SourceError, match="one SELECT"):
        check_query("place", query, sa.make_url("postgresql+psycopg2://h/d"))
