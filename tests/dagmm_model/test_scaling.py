"""Scaling: what each kind makes of the training rows."""

import numpy as np
import pytest

from dagmm_model.scaling import Scaler


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


def test_robust_has_median_0_and_quartiles_one_apart_before_arcsinh():
    scaled = np.sinh(Scaler.fit("robust", rows_of()).transform(rows_of()))
    low, middle, high = np.percentile(scaled[:, :4], [25, 50, 75], axis=0)
    np.testing.assert_allclose(middle, 0.0, atol=1e-9)
    np.testing.assert_allclose(high - low, 1.0)


def test_robust_divides_a_rare_indicator_by_its_deviation():
    indicator = rows_of()[:, 5]
    scaler = Scaler.fit("robust", rows_of())
    assert scaler.scale[5] == pytest.approx(indicator.std())


def test_whitened_has_uncorrelated_columns_and_leads_back():
    x = rows_of()
    scaler = Scaler.fit("whitened", x)
    scaled = scaler.transform(x)
    covariance = np.cov(scaled.T, bias=True)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-6
    assert np.diag(covariance).max() <= 1.0
    column_wise = Scaler("whitened", scaler.centre, scaler.scale).transform(x)
    np.testing.assert_allclose(
        scaler.by_column(scaled[0] - scaled[1]), column_wise[0] - column_wise[1], atol=1e-8
    )


@pytest.mark.parametrize("kind", ["minmax", "standard", "robust", "whitened"])
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
