"""Is a detector better than another over many splits or data sets, or was it luck?

Paired over seeds: Wilcoxon's signed-rank test, with Holm's correction for the number of detectors.
Over data sets: average ranks, and the critical difference of Nemenyi's test (Demšar, Statistical
Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006, sections 3.1.3 and 3.2.2).

Splits of one table share rows, so figures over seeds are not independent: the signed-rank p-value
says whether a difference would be seen again on *this* table, not on the next one.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from dagmm_model.base.arrays import Float


def signed_rank_p(first: ArrayLike, second: ArrayLike) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test for paired figures.

    Zero differences are dropped (Wilcoxon's own way). With n pairs it is never below 2 / 2^n: five
    seeds cannot reach 0.05.

    Args:
        first: Figures of one detector, shape ``(n,)``.
        second: Figures of the other on the same splits.

    Returns:
        The p-value, 1 where all pairs are equal.

    Raises:
        ValueError: The lengths differ, there is no pair, or a figure is not finite.
    """
    one, other = (np.asarray(figures, dtype=np.float64).ravel() for figures in (first, second))
    if one.shape != other.shape or not len(one):
        raise ValueError(f"{len(one)} and {len(other)} figures do not form pairs")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError("a figure is not finite")
    # Equal figures that were computed in another order differ in the last bits: no difference.
    difference = one - other
    difference = difference[np.abs(difference) > 1e-12]
    return float(stats.wilcoxon(difference).pvalue) if len(difference) else 1.0


def holm(p_values: ArrayLike) -> Float:
    """Holm's step-down correction: adjusted p-values, float64 ``(m,)``, in the order given.

    Rejecting those at or below a level keeps the chance of any false rejection at that level
    (Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979).

    Raises:
        ValueError: A p-value is not between 0 and 1.
    """
    p = np.asarray(p_values, dtype=np.float64).ravel()
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values must lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def average_ranks(figures: ArrayLike) -> Float:
    """Mean rank of each detector, 1 = best; ties share their ranks.

    Args:
        figures: ``(blocks, detectors)``, higher = better; a block is a data set (or a split).

    Returns:
        float64 ``(detectors,)``.

    Raises:
        ValueError: Not a matrix with at least one block, or a figure is not finite.
    """
    matrix = np.asarray(figures, dtype=np.float64)
    if matrix.ndim != 2 or not len(matrix) or not np.isfinite(matrix).all():
        raise ValueError("ranks need a finite figure for every detector in every block")
    ranks: Float = stats.rankdata(-matrix, axis=1).mean(axis=0)
    return ranks


def critical_difference(detectors: int, blocks: int, level: float = 0.05) -> float:
    """Difference in average rank that Nemenyi's test needs (Demšar 2006, equation in 3.2.2).

    ``q sqrt(k (k + 1) / (6 N))`` with k detectors, N blocks, and q the studentised range's upper
    `level` quantile divided by the square root of 2.

    Raises:
        ValueError: Fewer than two detectors, or no block.
    """
    if detectors < 2 or blocks < 1:
        raise ValueError(f"{detectors} detectors on {blocks} blocks cannot be compared")
    q = stats.studentized_range.ppf(1 - level, detectors, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(detectors * (detectors + 1) / (6 * blocks)))


def cliques(ranks: ArrayLike, difference: float) -> list[tuple[int, int]]:
    """Largest runs of detectors that the critical difference does not tell apart.

    Args:
        ranks: Average ranks in ascending order, shape ``(k,)``.
        difference: The critical difference.

    Returns:
        First and last position of each run of at least two; no run lies within another.
    """
    sorted_ranks = np.asarray(ranks, dtype=np.float64)
    ends = np.searchsorted(sorted_ranks, sorted_ranks + difference, side="right") - 1
    runs: list[tuple[int, int]] = []
    for first, last in enumerate(ends.tolist()):
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs
