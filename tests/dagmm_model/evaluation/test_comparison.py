"""Paired differences of average precision."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from dagmm_model.evaluation.comparison import paired_difference


def problem(rows: int, shift: float, noise: float, seed: int):
    """Labels and two detectors that see the same signal; the first is `shift` worse."""
    rng = np.random.default_rng(seed)
    labels = rng.random(rows) < 0.2
    signal = labels * 2.0 + rng.normal(size=rows)
    first = signal - shift * labels + noise * rng.normal(size=rows)
    return labels, first, signal + noise * rng.normal(size=rows)


def test_the_values_are_average_precisions_also_with_ties():
    labels, first, second = problem(400, 0.5, 0.3, 0)
    first = np.round(first, 1)
    actual = paired_difference(labels, first, second)
    assert actual.first == pytest.approx(average_precision_score(labels, first))
    assert actual.second == pytest.approx(average_precision_score(labels, second))
    assert actual.interval.value == pytest.approx(actual.first - actual.second)
    assert actual.interval.low < actual.interval.value < actual.interval.high


def test_a_detector_does_not_differ_from_itself():
    labels, first, _ = problem(100, 0, 0.3, 1)
    interval = paired_difference(labels, first, first).interval
    assert (interval.value, interval.low, interval.high) == (0, 0, 0)


def test_pairing_makes_the_interval_narrower_than_two_unrelated_samples():
    labels, first, second = problem(500, 0, 0.2, 2)
    shuffled = second.copy()
    rng = np.random.default_rng(0)
    for rows in (labels, ~labels):  # as good a detector, but no longer of the same rows
        shuffled[rows] = rng.permutation(shuffled[rows])
    paired = paired_difference(labels, first, second).interval
    apart = paired_difference(labels, first, shuffled).interval
    assert (paired.high - paired.low) < 0.7 * (apart.high - apart.low)


def test_equal_detectors_lie_inside_the_interval_about_as_often_as_it_says():
    inside = 0
    for seed in range(100):
        labels, first, second = problem(300, 0, 0.4, seed)
        interval = paired_difference(labels, first, second, resamples=300).interval
        inside += interval.low <= 0 <= interval.high
    assert 80 <= inside <= 98  # 90 % of 100, three standard deviations and a small-sample bias


@pytest.mark.parametrize(
    ("labels", "first", "message"),
    [
        ([True, True], [1.0, 2.0], "normal and anomalous"),
        ([True, False], [1.0, np.nan], "not finite"),
        ([True, False], [1.0], "2 labels for 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(labels, first, message):
    with pytest.raises(ValueError, match=message):
        paired_difference(labels, first, [1.0, 2.0])
