from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_checks.base.errors import SourceError
from data_checks.drift import (
    ColumnDrift,
    DriftReference,
    bin_counts,
    compare_columns,
    drift_reference,
    holm_rejects,
    homogeneity,
    population_stability,
)
from tests.data_checks.conftest import small_contract, small_frame

CONTRACT = small_contract()


def table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame.assign(ok=frame["ok"] == "true"), preserve_index=False)


def compared(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, ColumnDrift]:
    reference = drift_reference(table(before), CONTRACT)
    actual = compare_columns(reference, bin_counts(reference, [table(after)]), CONTRACT)
    return {column.column: column for column in actual}


counts = st.lists(st.integers(0, 50), min_size=2, max_size=8)


@given(p=counts, q=counts)
def test_psi_and_the_test_are_symmetric_and_in_range(p: list[int], q: list[int]) -> None:
    size = min(len(p), len(q))
    assert population_stability(p[:size], q[:size]) >= 0
    there, back = population_stability(p[:size], q[:size]), population_stability(q[:size], p[:size])
    assert np.isclose(there, back)
    assert 0 <= homogeneity(p[:size], q[:size]) <= 1
    assert np.isclose(homogeneity(p[:size], q[:size]), homogeneity(q[:size], p[:size]))


def test_psi_of_known_shares() -> None:
    psi = population_stability([500_000, 500_000], [250_000, 750_000])
    assert np.isclose(psi, 0.25 * np.log(1.5) - 0.25 * np.log(0.5), rtol=1e-4)


def test_the_test_agrees_with_scipy_where_nothing_is_pooled() -> None:
    from scipy.stats import chi2_contingency

    first, second = [40, 60, 100], [90, 70, 140]
    expected = chi2_contingency([first, second], correction=False).pvalue
    assert np.isclose(homogeneity(first, second), expected)


@pytest.mark.parametrize("concentration", [0.2, 3.0])
def test_without_drift_p_values_are_uniform(concentration: float) -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(12, concentration))
    p_values = np.array(
        [
            homogeneity(rng.multinomial(800, shares), rng.multinomial(100, shares))
            for _ in range(3000)
        ]
    )
    for level in (0.5, 0.1, 0.01):
        assert (p_values < level).mean() <= level + 4 * np.sqrt(level / 3000)
    assert (p_values < 0.5).mean() > 0.4, "and the test is not blind"


def test_holm_rejects_in_order_and_stops() -> None:
    assert holm_rejects([0.001, 0.2, 0.012, 0.03], 0.05).tolist() == [True, False, True, False]
    assert holm_rejects([0.02, 0.02, 0.02], 0.05).tolist() == [False] * 3
    assert holm_rejects([], 0.05).tolist() == []


def test_the_same_rows_have_not_drifted() -> None:
    reference = drift_reference(table(small_frame(500)), CONTRACT)
    assert DriftReference.model_validate_json(reference.model_dump_json()) == reference
    actual = compared(small_frame(500), small_frame(500))
    assert {column.verdict for column in actual.values()} == {"stable"}
    assert max(column.psi for column in actual.values()) == 0


def test_a_reference_holds_counts_and_no_rows() -> None:
    reference = drift_reference(table(small_frame(500)), CONTRACT)
    for column in reference.columns:
        assert sum(column.counts) == 500
        assert len(column.counts) < 50


def test_counts_add_up_over_batches() -> None:
    reference = drift_reference(table(small_frame(500)), CONTRACT)
    rows = table(small_frame(333, seed=4))
    whole = bin_counts(reference, [rows])
    parts = bin_counts(reference, [rows.slice(start, 50) for start in range(0, 333, 50)])
    for name, counted in whole.items():
        assert counted.sum() == 333
        assert (counted == parts[name]).all()


def test_a_window_without_drift_raises_no_more_alarms_than_the_level() -> None:
    reference = drift_reference(table(small_frame(2000)), CONTRACT)
    alarms = 0
    for seed in range(1, 201):
        rows = bin_counts(reference, [table(small_frame(60, seed=seed))])
        actual = compare_columns(reference, rows, CONTRACT, level=0.05)
        alarms += any(column.verdict != "stable" for column in actual)
    assert alarms <= 20, "10 expected at most"


def test_a_column_that_moved_is_named_first() -> None:
    frame = small_frame(2000, seed=1)
    frame["fee"] = frame["fee"] + 40
    frame.loc[:300, "kind"] = "pink"
    actual = compared(small_frame(2000), frame)
    assert next(iter(actual)) in {"fee", "kind"}
    assert actual["fee"].verdict == "critical"
    assert actual["fee"].distance > 0.3
    assert actual["kind"].verdict != "stable"
    assert actual["amount"].verdict == actual["ok"].verdict == "stable"
    assert actual["kind"].unseen_share == 301 / 2000


def test_growing_gaps_are_drift() -> None:
    frame = small_frame(1000, seed=1)
    frame.loc[:400, "amount"] = np.nan
    first = next(iter(compared(small_frame(1000), frame).values()))
    assert first.column == "amount"
    assert np.isclose(first.missing_share, 0.401)
    assert first.verdict == "critical"


def test_values_beyond_the_range_seen_are_seen() -> None:
    before = small_frame(1000).assign(amount=5.0)
    after = small_frame(1000, seed=1).assign(amount=4.0)
    assert compared(before, after)["amount"].verdict == "critical"
    assert compared(before, before.iloc[:100])["amount"].verdict == "stable"


def test_a_real_difference_that_does_not_matter_is_no_drift() -> None:
    reference = drift_reference(table(small_frame(50)), CONTRACT)
    name = next(column.name for column in reference.columns if column.levels)
    rows = {column.name: np.array(column.counts) for column in reference.columns}
    columns = []
    for column in reference.columns:
        if column.name == name:
            size = len(column.counts)
            column = column.model_copy(update={"counts": (100_000, 100_000, *[0] * (size - 2))})
            rows[name] = np.array([97_000, 103_000, *[0] * (size - 2)])
        columns.append(column)
    large = reference.model_copy(update={"columns": tuple(columns)})
    actual = {c.column: c for c in compare_columns(large, rows, CONTRACT)}[name]
    assert actual.p_value < 1e-6
    assert actual.verdict == "stable"


def test_a_table_without_rows_or_columns_is_refused() -> None:
    with pytest.raises(SourceError, match="no rows"):
        drift_reference(table(small_frame(0)), CONTRACT)
    reference = drift_reference(table(small_frame(50)), CONTRACT)
    with pytest.raises(SourceError, match="'fee'"):
        bin_counts(reference, [table(small_frame(5)).drop_columns("fee")])
