"""The contract of docs/first-table.md reads the table beside it, whatever the data folder is."""

from __future__ import annotations

import runpy
from pathlib import Path

from data_checks.contract.model import load_contract
from data_checks.sources.sources import ingest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def test_the_edited_contract_needs_no_variable(tmp_path: Path) -> None:
    folder = tmp_path / "of a user's, ü"
    runpy.run_path(str(EXAMPLES / "pumps.py"))["main"](folder)
    edited = load_contract(folder / "edited.yaml")
    done = ingest(edited, tmp_path / "t.parquet", data_dir=tmp_path / "none")
    assert done.rows == 3_000
    shipped = load_contract(EXAMPLES / "pumps.yaml")
    assert edited.model_copy(update={"source": shipped.source}) == shipped
