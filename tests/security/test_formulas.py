"""Names of columns and levels that a spreadsheet would run."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pytest

from flows.scoring.filling.parts import Parts
from flows.scoring.judged_part import Counts
from flows.scoring.output.files import FileOutput
from flows.scoring.rows import REJECTED, SCORED, JudgedPart

TEXTS = (
    "=cmd|' /C calc'!A0 63%", "+1+1", "-2+3", "@SUM(A1)", "\t=1", " =1", "\r=1", "\uff1d1",
    "\ufeff=1", "\u200b+1", "\xa0=1", "\u3000@a", "\x0b=1", "\x00-1", "\n=1", "\ufe661", "\ufe6ba",
    "temp 63%", None, "'quoted", "a = b",
)  # fmt: skip


HARMLESS = ("", "temp 63%", "'quoted", "a = b", "models:/dagmm-x/1")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_no_cell_of_a_result_is_a_formula(tmp_path: Path, suffix: str) -> None:
    n = len(TEXTS)
    values = {
        "row_id": range(n), "energy": [-1.5] * n, "p_value": [0.5] * n, "is_anomaly": [True] * n,
        "threshold": [-0.5] * n, "reasons": TEXTS, "component": [0] * n, "remarks": TEXTS[::-1],
        "model": ["models:/dagmm-x/1"] * n,
    }  # fmt: skip
    columns = [pa.array(values[f.name], f.type) for f in SCORED if f.name in values]
    schema = pa.schema([field for field in SCORED if field.name in values])
    scored = pa.table(columns, schema=schema)
    output = FileOutput(tmp_path / f"out{suffix}")
    folder = tmp_path / "parts"
    folder.mkdir()
    parts = Parts(folder, {}, suffix)
    parts.add([JudgedPart(scored, REJECTED.empty_table(), Counts(rows=n, scored=n))])
    output.publish(parts, schema, REJECTED)
    if suffix == ".parquet":  # not opened by a spreadsheet; the text stays as it is
        return
    with output.path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == n
    for row, reason in zip(rows, TEXTS, strict=True):
        for column in ("reasons", "remarks", "model"):
            assert row[column][:1] == "'" or row[column] in HARMLESS
            assert row[column][:1] not in ("\t", "\r")
        assert row["reasons"] in (reason or "", f"'{reason}")
        assert float(row["energy"]) == -1.5  # a number may begin with a minus
