"""Scaling: what each kind makes of the training rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagmm_model.tables.scaling import Scaler, Values


def rows_of(n=3000):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4)) @ rng.normal(size=(4, 4)) + [0, 5, -3, 1e4]
    return np.column_stack([x, np.full(n, 7.0), rng.random(n) < 0.02])


def test_minmax_is_the_training_range():
    scaled = Scaler.fit("minmax", rows_of()).transform(rows_of())
    np.testing.assert_allclose(scaled.min(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(scaled.max(axis=0)[[0, 1, 2, 3, 5]], 1.0)


def test_standard_has_mean_0_and_variance_1():
    scaled = Scaler.fit("standard", rows_of()).transform(rows_of())
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(scaled.std(axis=0)[[0, 1, 2, 3, 5]], 1.0)


def test_numeric_leaves_indicators_alone():
    x = np.column_stack([rows_of(), np.where(rows_of()[:, 5], 1e9, 3.0)])
    almost = x[:, 5].copy()
    almost[0] = 0.999  # a third value
    x = np.column_stack([x, almost])
    scaler = Scaler.fit("numeric", x)
    scaled = scaler.transform(x)
    np.testing.assert_array_equal(scaled[:, 5], x[:, 5])
    np.testing.assert_allclose(scaled[:, 6], x[:, 5], atol=1e-12)
    standard = Scaler.fit("standard", x).transform(x)
    np.testing.assert_array_equal(np.delete(scaled, [5, 6], 1), np.delete(standard, [5, 6], 1))


@pytest.mark.parametrize(
    ("low", "step"), [(0.1, 1e-6), (65535.0, 1.0), (1e8, 1.0), (1.6e9, 86400.0), (-1e9, 0.5)]
)
def test_two_values_are_recognised_wherever_they_lie(low, step):
    of_high = np.arange(60) % 4 == 0
    x = np.where(of_high, low + step, low)[:, None]
    np.testing.assert_array_equal(Scaler.fit("numeric", x).transform(x)[:, 0], of_high)


@given(st.lists(st.integers(0, 2), min_size=1), st.lists(st.integers(0, 3), min_size=1))
def test_what_is_said_of_two_parts_is_what_is_said_of_all_rows(first, second):
    first, second = (np.array(part, float)[:, None] for part in (first, second))
    merged = Values.of(first).merge(Values.of(second))
    np.testing.assert_array_equal(merged, Values.of(np.concatenate([first, second])))


def test_robust_has_median_0_and_quartiles_one_apart_before_arcsinh():
    scaled = np.sinh(Scaler.fit("robust", rows_of()).transform(rows_of()))
    low, middle, high = np.percentile(scaled[:, :4], [25, 50, 75], axis=0)
    np.testing.assert_allclose(middle, 0.0, atol=1e-9)
    np.testing.assert_allclose(high - low, 1.0)


def test_robust_divides_a_rare_indicator_by_its_deviation():
    indicator = rows_of()[:, 5]
    scaler = Scaler.fit("robust", rows_of())
    assert scaler.scale[5] == pytest.approx(indicator.std())


@pytest.mark.parametrize("kind", ["whitened", "tempered"])
def test_whitened_has_uncorrelated_columns_and_leads_back(kind):
    x = rows_of()
    scaler = Scaler.fit(kind, x)
    scaled = scaler.transform(x)
    covariance = np.cov(scaled.T, bias=True)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-6
    assert np.diag(covariance).max() <= 1.0
    column_wise = Scaler(kind, scaler.centre, scaler.scale).transform(x)
    np.testing.assert_allclose(
        scaler.by_column(scaled[0] - scaled[1]), column_wise[0] - column_wise[1], atol=1e-8
    )


def test_tempered_weighs_a_rare_value_less_where_whitening_fades_out():
    """With as many columns as rows the axes keep their variance, and a rare value its weight."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(60, 60)), rng.random((60, 1)) < 0.05], axis=1)
    row = np.median(x, axis=0)
    usual, rare, large = row.copy(), row.copy(), row.copy()
    rare[-1], large[0] = 1.0, 3.0
    whitened, tempered = (
        [
            np.linalg.norm(np.diff(scaler.transform(np.stack([usual, other])), axis=0))
            for other in (rare, large)
        ]
        for scaler in (Scaler.fit(kind, x) for kind in ("whitened", "tempered"))
    )
    assert tempered[0] < 0.8 * whitened[0]
    assert tempered[1] == pytest.approx(whitened[1], rel=0.1)


@pytest.mark.parametrize(
    "kind", ["minmax", "standard", "numeric", "robust", "clipped", "whitened", "tempered"]
)
def test_a_constant_column_becomes_0_and_huge_values_stay_finite(kind):
    x = rows_of()
    x[0, 1] = 1e30
    scaler = Scaler.fit(kind, x)
    assert np.isfinite(scaler.transform(x)).all()
    column_wise = Scaler(kind, scaler.centre, scaler.scale).transform(x)
    np.testing.assert_array_equal(column_wise[:, 4], 0.0)


def test_none_changes_nothing_and_refuses_what_would_overflow():
    scaler = Scaler.fit("none", rows_of())
    np.testing.assert_array_equal(scaler.transform(rows_of()), rows_of())
    x = rows_of()
    x[2, 3] = 1e200
    with pytest.raises(ValueError, match=r"row 12, column 3: value 1e\+200"):
        scaler.transform(x, first=10)
