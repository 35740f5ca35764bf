"""Statistics against enumerations, published tables and other libraries' figures."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dagmm_model.evaluation.significance import (
    average_ranks,
    cliques,
    critical_difference,
    holm,
    signed_rank_p,
)


def _enumerated(difference):
    """The definition: how often random signs give a rank sum at least as far from its mean."""
    ranks = stats.rankdata(np.abs(difference))
    centre = ranks.sum() / 2
    observed = abs(ranks[difference > 0].sum() - centre)
    signs = np.array(list(product((0.0, 1.0), repeat=len(difference))))
    return float((np.abs(signs @ ranks - centre) >= observed - 1e-9).mean())


@pytest.mark.parametrize("n", [2, 5, 9])
@pytest.mark.parametrize("seed", range(5))
def test_signed_rank_equals_the_enumeration_of_all_signs(n, seed):
    rng = np.random.default_rng(seed)
    first, second = rng.random(n), rng.random(n)
    assert signed_rank_p(first, second) == pytest.approx(_enumerated(first - second), abs=1e-12)


def test_signed_rank_worked_by_hand():
    # Differences 1, 2, 3, 4, -5: the positive ranks sum to 10 of 15. As far from the mean of 7.5
    # are sums of at most 5 or at least 10; 10 subsets of {1..5} sum to at most 5.
    assert signed_rank_p([1, 2, 3, 4, 0], [0, 0, 0, 0, 5]) == pytest.approx(20 / 32)


def test_signed_rank_of_five_seeds_cannot_reach_the_usual_level():
    assert signed_rank_p([1, 2, 3, 4, 5], [0, 0, 0, 0, 0]) == pytest.approx(2 / 2**5)


def test_rounding_is_no_difference():
    figures = np.random.default_rng(0).random(20)
    assert signed_rank_p(figures, figures + 1e-16) == 1.0
    assert signed_rank_p(figures, figures) == 1.0


def test_signed_rank_refuses_what_forms_no_pairs():
    with pytest.raises(ValueError, match="pairs"):
        signed_rank_p([1, 2], [1])
    with pytest.raises(ValueError, match="pairs"):
        signed_rank_p([], [])
    with pytest.raises(ValueError, match="finite"):
        signed_rank_p([1, np.nan], [1, 2])


def test_holm_worked_by_hand():
    # Sorted: .005 x 4, .01 x 3, .03 x 2, .04 x 1 = .02, .03, .06, .04, then never falling.
    adjusted = holm([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(adjusted, [0.03, 0.06, 0.06, 0.02])


def _sequentially_rejective(p, level):
    """Holm's procedure as he wrote it: test the smallest at level / m, go on until one is kept."""
    rejected = np.zeros(len(p), dtype=bool)
    for step, i in enumerate(np.argsort(p, kind="stable")):
        if p[i] * (len(p) - step) > level:
            break
        rejected[i] = True
    return rejected


@given(
    st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=12),
    st.sampled_from([0.01, 0.05, 0.2]),
)
def test_holm_rejects_what_the_procedure_rejects(p, level):
    adjusted = holm(p)
    assert (adjusted >= np.array(p)).all()
    assert (adjusted <= 1).all()
    assert ((adjusted <= level) == _sequentially_rejective(np.array(p), level)).all()


def test_holm_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, 1.5])
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([np.nan])


def test_ranks_share_ties_and_the_best_is_first():
    ranks = average_ranks([[0.9, 0.5, 0.5], [0.1, 0.3, 0.2]])
    np.testing.assert_allclose(ranks, [(1 + 3) / 2, (2.5 + 1) / 2, (2.5 + 2) / 2])


def test_ranks_agree_with_the_friedman_statistic_of_scipy():
    figures = np.random.default_rng(0).random((12, 5))
    n, k = figures.shape
    ranks = average_ranks(figures)
    # Demšar 2006, section 3.2.2
    chi2 = 12 * n / (k * (k + 1)) * ((ranks**2).sum() - k * (k + 1) ** 2 / 4)
    assert chi2 == pytest.approx(stats.friedmanchisquare(*figures.T).statistic)


# Demšar 2006, table 5 (a): q for the Nemenyi test at 0.05 and 0.10.
Q_05 = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
Q_10 = {2: 1.645, 3: 2.052, 4: 2.291, 5: 2.459, 6: 2.589, 7: 2.693, 8: 2.780, 9: 2.855, 10: 2.920}


@pytest.mark.parametrize(("level", "table"), [(0.05, Q_05), (0.10, Q_10)])
def test_critical_difference_has_the_published_quantiles(level, table):
    for k, q in table.items():
        blocks = 14
        expected = q * np.sqrt(k * (k + 1) / (6 * blocks))
        assert critical_difference(k, blocks, level) == pytest.approx(expected, rel=4e-4)


def test_critical_difference_of_the_published_example():
    # Demšar 2006, section 3.2.2: four classifiers on 14 data sets at 0.10.
    assert critical_difference(4, 14, 0.10) == pytest.approx(1.12, abs=0.005)


def test_critical_difference_refuses_what_cannot_be_compared():
    with pytest.raises(ValueError, match="cannot be compared"):
        critical_difference(1, 5)
    with pytest.raises(ValueError, match="cannot be compared"):
        critical_difference(3, 0)


def test_cliques_are_the_largest_runs():
    assert cliques([1.0, 1.5, 2.4, 5.0], 1.0) == [(0, 1), (1, 2)]
    assert cliques([1.0, 1.5, 1.9], 1.0) == [(0, 2)]
    assert cliques([1.0, 3.0, 5.0], 1.0) == []


@given(st.lists(st.floats(1, 30), min_size=2, max_size=12), st.floats(0.01, 10))
def test_cliques_join_exactly_what_is_not_told_apart(ranks, difference):
    ranks = sorted(ranks)
    runs = cliques(ranks, difference)
    for i in range(len(ranks)):
        for j in range(i + 1, len(ranks)):
            joined = any(first <= i and j <= last for first, last in runs)
            assert joined == (ranks[j] <= ranks[i] + difference)
