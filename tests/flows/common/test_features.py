"""Rows as a registered model takes them, gaps included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data_checks.contract.model import Contract
from data_checks.drafting.drafting import draft_contract
from data_checks.rows.rows import check_rows
from data_checks.sources.sources import ingest
from flows.common.features import as_columns, encoder_for, model_input, read_rows

ROWS = 40
RNG = np.random.default_rng(0)
KINDS: dict[str, list[Any]] = {
    "number": RNG.normal(size=ROWS).round(3).tolist(),
    "level": RNG.choice(["red", "green"], ROWS).tolist(),
    "code": [f"{value:03d}" for value in RNG.integers(0, 9, ROWS)],
    "truth": RNG.choice(["yes", "no"], ROWS).tolist(),
    "flag": RNG.choice([True, False], ROWS).tolist(),
    "zero": RNG.integers(0, 2, ROWS).tolist(),
}


def with_gaps(values: list[Any], gaps: list[int]) -> list[Any]:
    return [None if i in gaps else value for i, value in enumerate(values)]


@pytest.mark.parametrize("gaps", [[], [0], [3], list(range(5)), [30]], ids=str)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_model_takes_the_input_example_of_a_drafted_contract(
    tmp_path: Path, ending: str, gaps: list[int]
) -> None:
    columns = {name: with_gaps(values, gaps) for name, values in KINDS.items()}
    frame = pd.DataFrame({**columns, "whole": KINDS["number"]})
    path = tmp_path / f"t.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    contract: Contract = draft_contract(path).contract
    assert len(contract.feature_columns) == len(KINDS) + 1
    table = read_rows(ingest(contract, tmp_path / "o", data_dir=tmp_path).path, contract)
    for rows in (table.slice(0, 5), table):
        example = model_input(rows, contract)
        checked = check_rows(example, contract)
        assert not checked.refusal
        accepted = checked.features.to_pandas()
        encoder = encoder_for(contract, table)
        np.testing.assert_array_equal(encoder.encode(accepted), encoder.encode(example))
        kept = rows.select([column.name for column in contract.feature_columns])
        for same in (kept, checked.features):
            np.testing.assert_array_equal(encoder.encode(as_columns(same)), encoder.encode(example))
        assert not np.isnan(encoder.encode(accepted)).any()


@pytest.mark.parametrize("pieces", [[["a", None, "b"]], [["b", "a"], [None, "c"]], [[None]], []])
@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_text_keeps_its_gaps_however_it_is_stored(pieces, kind) -> None:
    column = pa.chunked_array([pa.array(piece, pa.string()).cast(kind) for piece in pieces], kind)
    assert list(as_columns(pa.table({"x": column}))["x"]) == [v for p in pieces for v in p]
