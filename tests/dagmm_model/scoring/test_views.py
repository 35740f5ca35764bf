"""Surprisals, and energies of several views."""

import numpy as np
import pytest

from dagmm_model import DAGMM
from dagmm_model.networks.presets import VIEWS
from dagmm_model.scoring.views import KNOTS, WEIGHTS, Surprisal, network_views
from dagmm_model.tables.encoded import Encoded

QUICK = {"epochs": 20, "random_state": 0}


def rows_of(n, seed):
    """Five columns, the last of which is nearly the sum of two others."""
    rows = np.random.default_rng(seed).normal(size=(n, 5))
    rows[:, 4] = rows[:, 0] + rows[:, 1] + 0.1 * rows[:, 4]
    return rows


ROWS = rows_of(300, 0)


@pytest.fixture(scope="module")
def detector():
    return DAGMM(random_state=0).fit(ROWS)


def test_a_surprisal_is_minus_the_log_of_the_share_of_rows_with_as_much():
    values = np.random.default_rng(0).permutation(np.arange(1000.0))
    surprisal = Surprisal.of(values)
    assert len(surprisal.values) <= KNOTS
    found = surprisal(np.array([0.0, 499.0, 989.0, 999.0]))
    expected = -np.log([0.9995, 0.5005, 0.0105, 0.0005])
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-3)
    beyond = surprisal(np.array([999.0, 999.0 + 2.0 * values.std()]))
    assert np.diff(beyond) == pytest.approx([2.0])


def test_surprisals_grow_with_the_value_and_ties_are_as_surprising_as_the_first():
    values = np.random.default_rng(0).integers(0, 6, 4000).astype(float)
    surprisal = Surprisal.of(values)
    assert (np.diff(surprisal(np.linspace(-1, 9, 200))) >= 0).all()
    shares = [(values >= value).mean() for value in range(6)]
    np.testing.assert_allclose(surprisal(np.arange(6.0)), -np.log(shares), atol=1e-2)


def test_constant_values_surprise_nobody_but_what_lies_beyond_does():
    surprisal = Surprisal.of(np.ones(50))
    assert surprisal(np.array([0.0, 1.0])) == pytest.approx([0.0, 0.0], abs=0.02)
    assert surprisal(np.array([3.0])) == pytest.approx([2.0], abs=0.02)


def test_a_weight_is_as_many_rows():
    values, weight = np.random.default_rng(0).normal(size=40), np.tile([1.0, 3.0], 20)
    weighted, repeated = Surprisal.of(values, weight), Surprisal.of(np.repeat(values, [1, 3] * 20))
    at = np.linspace(-2, 1, 9)
    np.testing.assert_allclose(weighted(at), repeated(at), atol=0.2)
    assert weighted.scale == pytest.approx(repeated.scale)


def test_the_energy_is_the_weighted_mean_of_the_views_surprisals(detector):
    rows = ROWS[:40] + np.linspace(0, 3, 40)[:, None]
    views, x = detector._views, detector._scaler.transform(rows)
    seen, *_ = network_views(detector._scorer, x)
    seen["neighbours"] = views.references.energy(x)
    seen["axes"] = detector._row_scorer._axes.energy(Encoded.of(rows))
    assert tuple(views.surprisals) == VIEWS
    total = sum(WEIGHTS[name] * views.surprisals[name](seen[name]) for name in VIEWS)
    np.testing.assert_allclose(detector.energy(rows), total / sum(WEIGHTS.values()), rtol=1e-10)


def test_the_reasons_are_the_columns_that_are_not_what_the_others_say(detector):
    row = ROWS[:1].copy()
    row[0, 4] += 4.0
    shares = detector.explain(row).shares[0]
    assert shares.sum() == pytest.approx(1.0)
    assert shares[[0, 1, 4]].sum() > 0.8  # the three whose dependence is broken


def test_training_learns_what_columns_say_of_each_other(detector):
    held, broken = rows_of(400, 1), rows_of(400, 1)
    broken[:, 4] = rows_of(400, 2)[:, 4]
    untrained = DAGMM(random_state=0, epochs=0, views=("error",)).fit(ROWS)
    trained = DAGMM(random_state=0, views=("error",)).fit(ROWS)

    def seen(model):
        return (model.energy(broken)[:, None] > model.energy(held)).mean()

    assert seen(trained) > 0.7
    assert seen(trained) > seen(untrained) + 0.1
    assert detector.history_[-1].reconstruction < 0.8 * detector.history_[0].reconstruction


@pytest.mark.parametrize("views", [("error",), ("energy", "neighbours"), ("error", "axes")])
def test_some_views_are_stored_and_score_the_same(views):
    detector = DAGMM(views=views, **QUICK).fit(ROWS)
    again = DAGMM.from_state(*detector.state())
    np.testing.assert_array_equal(again.energy(ROWS), detector.energy(ROWS))


def test_views_can_be_beside_a_network_that_hides_nothing():
    detector = DAGMM(preset="paper", views=("energy", "neighbours"), **QUICK).fit(ROWS)
    again = DAGMM.from_state(*detector.state())
    far = ROWS + 5.0
    np.testing.assert_array_equal(again.energy(far), detector.energy(far))
    assert (detector.explain(far).shares.sum(axis=1) > 0.99).all()
    assert detector.energy(far).min() > np.median(detector.energy(ROWS))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"views": ("energy", "depth")}, "views"),
        ({"views": ()}, "views"),
        ({"views": ("energy", "energy")}, "each once"),
        ({"views": ("neighbours", "axes")}, "energy or error"),
        ({"preset": "paper", "views": ("error",)}, "masking above 0"),
        ({"masking": 1.0}, "masking"),
        ({"linear_path": "pca"}, "linear_path.*masking=0"),
        ({"masking": 0.0}, "views without error"),
    ],
)
def test_views_that_cannot_be_are_refused_by_name(options, named):
    with pytest.raises(ValueError, match=named):
        DAGMM(**options).fit(ROWS)
