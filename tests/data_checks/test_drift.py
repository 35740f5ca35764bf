from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_checks.drift import DriftReference, drift, drift_reference, population_stability
from data_checks.errors import SourceError
from tests.data_checks.conftest import small_contract, small_frame


def write(frame: pd.DataFrame, path: Path) -> Path:
    frame.assign(ok=frame["ok"] == "true").to_parquet(path, index=False)
    return path


counts = st.lists(st.integers(0, 50), min_size=2, max_size=8)


@given(p=counts, q=counts)
def test_psi_is_symmetric_and_never_negative(p: list[int], q: list[int]) -> None:
    size = min(len(p), len(q))
    there, back = population_stability(p[:size], q[:size]), population_stability(q[:size], p[:size])
    assert there[0] >= 0
    assert np.allclose(there, back)


def test_psi_of_known_shares() -> None:
    psi, _ = population_stability([500_000, 500_000], [250_000, 750_000])
    assert np.isclose(psi, 0.25 * np.log(1.5) - 0.25 * np.log(0.5), rtol=1e-4)


def test_without_drift_the_noise_limit_holds() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(10, 3.0))
    above = 0
    for _ in range(1000):
        psi, noise = population_stability(
            rng.multinomial(800, shares), rng.multinomial(200, shares)
        )
        above += psi > noise
    assert above <= 10, "0.1 % expected"


def test_the_same_rows_have_not_drifted(tmp_path: Path) -> None:
    table = write(small_frame(500), tmp_path / "a.parquet")
    reference = drift_reference(table, small_contract())
    assert DriftReference.model_validate_json(reference.model_dump_json()) == reference
    report = drift(reference, table, small_contract())
    assert report.verdict == "stable"
    assert max(column.psi for column in report.columns) == 0
    assert "no column" in report.message


def test_other_rows_of_the_same_world_are_stable(tmp_path: Path) -> None:
    reference = drift_reference(write(small_frame(2000), tmp_path / "a.parquet"), small_contract())
    for seed in range(1, 6):
        table = write(small_frame(40, seed=seed), tmp_path / "b.parquet")
        assert drift(reference, table, small_contract()).verdict == "stable"


def test_a_column_that_moved_is_named_first(tmp_path: Path) -> None:
    reference = drift_reference(write(small_frame(2000), tmp_path / "a.parquet"), small_contract())
    frame = small_frame(2000, seed=1)
    frame["fee"] = frame["fee"] + 40
    frame.loc[:300, "kind"] = "pink"
    report = drift(reference, write(frame, tmp_path / "b.parquet"), small_contract())
    verdicts = {column.column: column.verdict for column in report.columns}
    assert verdicts["fee"] == "critical"
    assert verdicts["kind"] != "stable"
    assert verdicts["amount"] == verdicts["ok"] == "stable"
    assert next(c for c in report.columns if c.column == "kind").unseen_share == 301 / 2000
    assert "'fee'" in report.message or "'kind'" in report.message


def test_growing_gaps_are_drift(tmp_path: Path) -> None:
    reference = drift_reference(write(small_frame(1000), tmp_path / "a.parquet"), small_contract())
    frame = small_frame(1000, seed=1)
    frame.loc[:400, "amount"] = np.nan
    report = drift(reference, write(frame, tmp_path / "b.parquet"), small_contract())
    assert report.columns[0].column == "amount"
    assert np.isclose(report.columns[0].missing_share, 0.401)


def test_a_table_without_rows_or_columns_is_refused(tmp_path: Path) -> None:
    table = write(small_frame(50), tmp_path / "a.parquet")
    reference = drift_reference(table, small_contract())
    with pytest.raises(SourceError, match="no rows"):
        drift(reference, write(small_frame(0), tmp_path / "b.parquet"), small_contract())
    small_frame(5).drop(columns="fee").to_parquet(tmp_path / "c.parquet")
    with pytest.raises(SourceError, match="'fee'"):
        drift(reference, tmp_path / "c.parquet", small_contract())
