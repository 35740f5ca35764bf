"""The example of docs/first-table.md: its tables, and the contract after the edits it asks for."""

import runpy
from pathlib import Path

import pandas as pd
import pytest

from data_checks.contract.model import load_contract
from data_checks.rows.rows import check_rows
from data_checks.sources.sources import ingest
from data_checks.validation.validation import validate

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pumps")
    runpy.run_path(str(EXAMPLES / "pumps.py"))["main"](folder)
    return folder


def test_the_edited_contract_passes_the_table(tables):
    contract = load_contract(EXAMPLES / "pumps.yaml")
    done = ingest(contract, tables / "table.parquet", data_dir=tables)
    report = validate(Path(done.path), contract, tables / "checked", data_docs=False)
    assert (report.passed, report.rows_valid, report.rows_quarantined) == (True, 3_000, 0)


@pytest.mark.parametrize(("name", "rows"), [("today", 200), ("summer", 400)])
def test_later_rows_can_be_scored(tables, name, rows):
    table = pd.read_csv(tables / f"{name}.csv")
    assert len(table) == rows
    assert check_rows(table, load_contract(EXAMPLES / "pumps.yaml")).scorable.all()
