from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from data_checks.base.errors import SourceError, UnreachableError
from data_checks.contract.model import Contract
from data_checks.readers.database.sql import safe_name
from data_checks.sources.sources import ingest
from tests.data_checks.conftest import small_contract, small_frame
from tests.postgres import PASSWORD


def contract(query: str = "SELECT * FROM items ORDER BY id", **source: str) -> Contract:
    source = source or {"url_variable": "TEST_DATABASE_URL"}
    return small_contract(source={"kind": "sql", "query": query, **source})


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path}/items.db"
    engine = sa.create_engine(url)
    small_frame().to_sql("items", engine, index=False)
    engine.dispose()
    monkeypatch.setenv("TEST_DATABASE_URL", url)
    return url


def test_sqlite_gives_the_same_rows_as_csv(tmp_path: Path, sqlite: str) -> None:
    frame = small_frame().sort_values("id")
    frame.to_csv(tmp_path / "small.csv", index=False)
    tables = [
        pq.read_table(ingest(c, tmp_path / "t.parquet", data_dir=tmp_path).path).to_pandas()
        for c in (contract(), small_contract())
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1])


def test_sqlites_mixed_types_are_judged_value_by_value(tmp_path: Path, sqlite: str) -> None:
    engine = sa.create_engine(sqlite)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE items SET amount = 'lots' WHERE id = 'r4'"))
    engine.dispose()
    record = ingest(contract(), tmp_path / "t.parquet", data_dir=tmp_path)
    table = pq.read_table(record.path).to_pandas().set_index("id")
    assert table.loc["r4", "__unparsed__"] == '{"amount": "lots"}'
    assert table["__unparsed__"].notna().sum() == 1
    assert table["amount"].notna().sum() == 29


def test_a_query_cannot_leave_a_change_behind(tmp_path: Path, sqlite: str) -> None:
    with pytest.raises(SourceError, match="must be a SELECT"):
        ingest(contract("DELETE FROM items"), tmp_path / "t.parquet", data_dir=tmp_path)
    assert ingest(contract(), tmp_path / "t.parquet", data_dir=tmp_path).rows == 30


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT * FROM nothing", "nothing"),
        ("SELEC 1", "SELEC"),
        ("SELECT FROM items WHERE", "syntax"),
        ("SELECT id, kind FROM items", "'amount'"),
        ("SELECT *, 1 AS more FROM items", "'more'"),
        ("SELECT *, id FROM items", "twice"),
        ("SELECT * FROM items WHERE 1 = 0", "no rows"),
    ],
)
def test_queries_that_fail_say_why(tmp_path: Path, sqlite: str, query: str, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        ingest(contract(query), tmp_path / "t.parquet", data_dir=tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "t.parquet").exists()


def test_a_missing_variable_or_driver_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    with pytest.raises(SourceError, match="TEST_DATABASE_URL"):
        ingest(contract(), tmp_path / "t.parquet", data_dir=tmp_path)
    for url, words in (("nosuchdb://h/d", "driver"), ("not a url", "URL")):
        monkeypatch.setenv("TEST_DATABASE_URL", url)
        with pytest.raises(SourceError, match=words):
            ingest(contract(), tmp_path / "t.parquet", data_dir=tmp_path)


def test_a_password_on_the_command_line_is_refused_and_not_echoed(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        ingest(
            contract(),
            tmp_path / "t.parquet",
            data=f"postgresql://u:{PASSWORD}@h/d",
            data_dir=tmp_path,
        )
    assert PASSWORD not in str(caught.value)
    assert safe_name(f"postgresql://u:{PASSWORD}@h:1/d?sslmode=x") == "postgresql://h:1/d"


def test_postgresql(tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", postgres)
    engine = sa.create_engine(postgres)
    frame = small_frame(500)
    frame["ok"] = frame["ok"] == "true"
    frame["when"] = pd.to_datetime(frame["when"])
    types = {"amount": sa.Numeric(10, 2), "when": sa.DateTime()}
    frame.to_sql("items", engine, index=False, if_exists="replace", dtype=types)
    engine.dispose()
    record = ingest(
        contract("SELECT * FROM items ORDER BY substr(id, 2)::int"),
        tmp_path / "t.parquet",
        data_dir=tmp_path,
    )
    table = pq.read_table(record.path).to_pandas()
    assert record.rows == 500
    assert table["amount"].tolist() == frame["amount"].tolist()
    assert table["ok"].tolist() == frame["ok"].tolist()
    assert (table["when"].dt.tz_localize(None) == frame["when"]).all()
    assert PASSWORD not in record.model_dump_json()
    assert "tester" not in record.model_dump_json()


def test_postgresql_errors_keep_the_password(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = postgres.replace(PASSWORD, "wr0ng-Pa55")
    closed = postgres.rpartition(":")[0] + ":1/postgres"
    cases = [
        (postgres, "SELECT * FROM nowhere", SourceError),
        (wrong, "SELECT 1", UnreachableError),
        (closed, "SELECT 1", UnreachableError),
    ]
    for url, query, kind in cases:
        monkeypatch.setenv("TEST_DATABASE_URL", url)
        with pytest.raises(kind) as caught:
            ingest(contract(query), tmp_path / "t.parquet", data_dir=tmp_path)
        assert "Pa55" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert not (tmp_path / "t.parquet").exists()


def test_a_file_can_stand_in_for_the_query(tmp_path):
    """New rows of a table that was trained from a database often come as a file."""
    contract = Contract.model_validate(
        {
            "name": "pumps",
            "source": {"kind": "sql", "url": "sqlite:///nowhere.db", "query": "select 1"},
            "columns": [{"name": "a", "type": "numeric"}],
        }
    )
    (tmp_path / "new.csv").write_text("a\n1\n2.5\n")
    done = ingest(contract, tmp_path / "out.parquet", data=tmp_path / "new.csv", data_dir=tmp_path)
    assert done.rows == 2
    assert pq.read_table(done.path).column("a").to_pylist() == [1.0, 2.5]
