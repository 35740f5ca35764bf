"""Which files are a table, and what the folders say that they lie in."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_checks.base import locations
from data_checks.base.errors import MissingDataError, SourceError
from data_checks.contract.column_names import Columns
from data_checks.contract.model import Contract
from data_checks.drafting.drafting import draft_contract
from data_checks.readers.parquet import read_parquet
from data_checks.readers.parquet_files import files_of
from data_checks.sources.reading import count_rows, read_batches
from data_checks.sources.sources import ingest
from data_checks.spark.plan import plan_tasks, read_task

SHOWN = ("a.parquet", "b.PARQUET", "c.pq", "day=1/_x=2/d.parquet", "sub/e.parquet")
HIDDEN = (
    "_temporary/0/a.parquet",
    "sub/_temporary/a.parquet",
    ".ipynb_checkpoints/a.parquet",
    "sub/.old/deep/a.parquet",
    "_old.parquet",
    ".a.parquet.crc",
    ".hidden.parquet",
    "_SUCCESS",
    "notes.txt",
)


def contract(*names: str) -> Contract:
    columns = [{"name": "x", "type": "numeric"}]
    columns += [{"name": name, "type": "identifier", "nullable": True} for name in names]
    return Contract.model_validate({"name": "c", "source": {"kind": "parquet"}, "columns": columns})


@pytest.fixture(params=["local", "remote"])
def table(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of files, some of them hidden."""
    root = tmp_path / "out_table"
    if request.param == "remote":
        monkeypatch.setitem(locations.STORES, "memory", None)
    for name in (*SHOWN, *HIDDEN):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"x": [1.0, 2.0]}), path)
        if request.param == "remote":
            fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}/{name}", path.read_bytes())
    (root / "folder.parquet").mkdir()
    return f"memory:///{tmp_path.name}" if request.param == "remote" else str(root)


def test_hidden_files_are_no_part_of_a_table(table: str) -> None:
    rows = 2 * len(SHOWN)
    below = [name.removeprefix(table).lstrip("/") for name in files_of(table)]
    assert below == sorted(SHOWN)
    assert files_of(f"{table}/") == files_of(table)
    assert count_rows(contract(), table) == rows
    assert sum(b.num_rows for b in read_batches(contract(), table)) == rows
    plan = plan_tasks(contract(), table, 2)
    assert plan.rows == rows
    read = [batch for task in plan.tasks for _, batch in read_task(task, plan.columns, 100)]
    assert sum(batch.num_rows for batch in read) == rows


@pytest.mark.parametrize(
    ("pattern", "actual"),
    [
        ("*.parquet", ["a.parquet"]),
        ("**/*.parquet", [n for n in SHOWN if n.endswith(".parquet")]),
        ("s*", ["sub/e.parquet"]),
        ("_*.parquet", ["_old.parquet"]),
        ("_temporary/0/*.parquet", ["_temporary/0/a.parquet"]),
    ],
)
def test_a_glob_finds_hidden_files_only_when_asked(
    table: str, pattern: str, actual: list[str]
) -> None:
    if pattern == "s*" and table.startswith("memory"):
        pytest.skip("a remote glob names files")
    below = [name.removeprefix(table).lstrip("/") for name in files_of(f"{table}/{pattern}")]
    assert below == sorted(actual)


def test_a_table_may_itself_lie_in_a_hidden_folder(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "_table"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"x": [1.0]}), folder / "a.parquet")
    assert len(files_of(str(folder))) == len(files_of(f"{folder}/*.parquet")) == 1
    (folder / "a.parquet").rename(folder / "_a.parquet")
    with pytest.raises(MissingDataError, match="no Parquet file"):
        files_of(str(folder))


@pytest.fixture
def partitioned(tmp_path: Path) -> Path:
    root = tmp_path / "parts"
    for year, site in (("2025", "K%C3%B6ln"), ("2026", "Rom"), ("__HIVE_DEFAULT_PARTITION__", "x")):
        folder = root / f"year={year}" / f"site={site}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"x": [1.0, 2.0]}), folder / "part-0.parquet")
    return root


def test_the_names_of_folders_are_columns_if_the_contract_says_so(partitioned: Path) -> None:
    made = contract("site", "year")
    done = ingest(made, partitioned.parent / "o", data=partitioned, data_dir=partitioned)
    table = pd.read_parquet(done.path).astype(object).where(lambda t: t.notna(), None)
    assert table["year"].tolist() == ["2025"] * 2 + ["2026"] * 2 + [None] * 2
    assert table["site"].tolist() == ["Köln"] * 2 + ["Rom"] * 2 + ["x"] * 2
    plan = plan_tasks(made, str(partitioned), 2)
    batches = [batch for task in plan.tasks for _, batch in read_task(task, plan.columns, 100)]
    read = pa.Table.from_batches(batches).to_pandas()
    assert read["site"].tolist() == table["site"].tolist()
    without = ingest(contract(), partitioned.parent / "o", data=partitioned, data_dir=partitioned)
    assert without.rows == 6


def test_a_folder_that_lacks_a_named_column_is_an_error(partitioned: Path) -> None:
    pq.write_table(pa.table({"x": [1.0]}), partitioned / "loose.parquet")
    with pytest.raises(SourceError, match=r"loose\.parquet: missing column 'year'"):
        ingest(contract("year"), partitioned / "o", data=partitioned, data_dir=partitioned)


@pytest.mark.parametrize("loose", ["a.parquet", "zz.parquet", "site=Bonn/c.parquet"])
def test_a_draft_says_which_column_only_some_folders_name(partitioned: Path, loose: str) -> None:
    (partitioned / loose).parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"x": [1.0, 3.0]}), partitioned / loose)
    draft = draft_contract(partitioned)
    names = [column.name for column in draft.contract.columns]
    assert names == (["x", "site"] if "site" in loose else ["x"])
    (message,) = [remark for remark in draft.remarks if "left out" in remark]
    assert message.startswith("'year' left out" if "site" in loose else "'year', 'site' left out")
    assert "move the files into folders" in message


def test_a_glob_takes_columns_from_what_its_wildcards_match(partitioned: Path) -> None:
    above = partitioned.parent / "run=3" / "t"
    partitioned.parent.joinpath("run=3").mkdir()
    partitioned.rename(above)
    drafted = [
        [column.name for column in draft_contract(place).contract.columns]
        for place in (above, f"{above}/*/*/*.parquet", f"{above}/year=2025/*/*.parquet")
    ]
    assert drafted == [["x", "year", "site"], ["x", "year", "site"], ["x", "site"]]


def test_a_draft_takes_the_folders_names_as_columns(partitioned: Path) -> None:
    columns = {column.name: column for column in draft_contract(partitioned).contract.columns}
    assert list(columns) == ["x", "year", "site"]
    assert columns["site"].vocabulary == ("Köln", "Rom", "x")


def test_a_column_without_a_value_in_one_file_goes_with_the_others(tmp_path: Path) -> None:
    parts = [
        {"x": pa.nulls(2), "at": pa.array([1, 2], pa.timestamp("us"))},
        {"x": pa.array([1.5, 2.5]), "at": pa.array([3, 4], pa.timestamp("ns"))},
        {"x": pa.nulls(2), "at": pa.nulls(2)},
        {"x": pa.array(["3", "4"]), "at": pa.nulls(2)},
    ]
    for number, columns in enumerate(parts[:3]):
        pq.write_table(pa.table(columns), tmp_path / f"{number}.parquet")
    batches = list(read_parquet(str(tmp_path), Columns(["x", "at"], ["x", "at"])))
    actual = [batch.column("x").to_pylist() for batch in batches]
    assert actual == [[None, None], [1.5, 2.5], [None, None]]
    pq.write_table(pa.table(parts[3]), tmp_path / "3.parquet")
    with pytest.raises(SourceError, match=r"3\.parquet: column 'x' is string, in a file before"):
        list(read_parquet(str(tmp_path), Columns(["x", "at"], ["x", "at"])))
