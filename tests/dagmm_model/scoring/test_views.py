"""Surprisals, and energies of several views."""

import numpy as np
import pytest

from dagmm_model import DAGMM
from dagmm_model.networks.settings import VIEWS
from dagmm_model.scoring.views import (
    AXES,
    FEW,
    KNOTS,
    NETWORK,
    WEIGHTS,
    Surprisal,
    Views,
    coarseness,
    l_skewness,
    network_views,
    weights_of,
)
from tests.dagmm_model.saved import parts

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
    actual = surprisal(np.array([0.0, 499.0, 989.0, 999.0]))
    expected = -np.log([0.9995, 0.5005, 0.0105, 0.0005])
    np.testing.assert_allclose(actual, expected, rtol=1e-2, atol=1e-3)
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
    values, arrays = detector.state()
    views = Views.from_state(values["views"], arrays)
    scorer, scaler = parts(detector)
    x = scaler.transform(rows)
    seen, *_ = network_views(scorer, x)
    seen["neighbours"] = views.references.energy(x)
    axes_scaler, axes_scorer = views.axes
    seen["axes"] = axes_scorer.energy(axes_scaler.transform(rows))
    assert tuple(views.surprisals) == VIEWS
    weights = views.weights
    network = {name: WEIGHTS[name] * NETWORK[0] for name in ("energy", "error")}
    assert weights == WEIGHTS | network | {"axes": weights["axes"]}
    total = sum(weights[name] * views.surprisals[name](seen[name]) for name in VIEWS)
    np.testing.assert_allclose(detector.energy(rows), total / sum(weights.values()), rtol=1e-10)


@pytest.mark.parametrize(
    ("draw", "known"), [("uniform", 0.0), ("normal", 0.0), ("exponential", 1 / 3), ("gumbel", 0.17)]
)
def test_l_skewness_is_that_of_the_known_distributions(draw, known):
    values = getattr(np.random.default_rng(0), draw)(size=50_000)
    assert l_skewness(values) == pytest.approx(known, abs=0.02)
    assert l_skewness(3.0 * values - 7.0) == pytest.approx(l_skewness(values))
    assert l_skewness(-values - values.max()) == pytest.approx(0.0, abs=0.02)  # never below 0


def test_l_skewness_takes_a_weight_for_as_many_rows_and_no_notice_of_one_row_in_many():
    values, weight = np.random.default_rng(0).exponential(size=60), np.tile([1.0, 3.0], 30)
    repeated = l_skewness(np.repeat(values, [1, 3] * 30))
    assert l_skewness(values, weight) == pytest.approx(repeated)
    many = np.random.default_rng(0).normal(size=5000)
    assert l_skewness(np.append(many, 20.0)) < 0.05
    assert l_skewness(np.ones(9)) == 0.0


def test_the_axes_count_the_more_the_longer_the_tail_of_their_energies():
    rng = np.random.default_rng(0)
    flat, long = rng.normal(size=5000), rng.exponential(size=5000) ** 1.5
    weights = [weights_of({"error": flat, "axes": axes}, 0.0) for axes in (flat, long)]
    assert weights[0]["axes"] < 0.05
    assert weights[1]["axes"] > AXES
    assert weights[0]["error"] == weights[1]["error"] == WEIGHTS["error"] * NETWORK[0]


def test_the_network_counts_the_more_the_more_columns_have_few_values():
    rng = np.random.default_rng(0)
    many, few = rng.normal(size=(200, 2)), rng.integers(0, FEW, (200, 2))
    assert coarseness(many) == 0.0
    assert coarseness(few) == coarseness(np.hstack([few, np.ones((200, 3))])) == 1.0
    assert coarseness(np.hstack([few, many])) == 0.5
    assert coarseness(np.ones((5, 3))) == 0.0
    seen = dict.fromkeys(("energy", "error", "neighbours"), many[:, 0])
    for coarse, factor in ((0.0, NETWORK[0]), (1.0, NETWORK[1]), (0.5, np.mean(NETWORK))):
        weights = weights_of(seen, coarse)
        assert weights["energy"] == WEIGHTS["energy"] * factor
        assert weights["error"] == WEIGHTS["error"] * factor
        assert weights["neighbours"] == WEIGHTS["neighbours"]


def test_a_model_with_other_weights_and_another_scaling_scores_by_its_own():
    detector = DAGMM(scaling="soft", **QUICK).fit(ROWS)
    values, arrays = detector.state()
    energy = detector.energy(ROWS)
    assert values["views"]["weights"]["neighbours"] == 2.5
    own = {"energy": 1.0, "error": 1.0, "neighbours": 2.0, "axes": 1.0}
    values["views"]["weights"] |= own
    again = DAGMM.from_state(values, arrays)
    assert again.state()[0]["views"]["weights"] == own
    assert np.abs(again.energy(ROWS) - energy).max() > 1e-3
    np.testing.assert_array_equal(DAGMM.from_state(*again.state()).energy(ROWS), again.energy(ROWS))


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
