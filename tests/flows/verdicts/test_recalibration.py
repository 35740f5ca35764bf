"""A threshold raised by confirmed normal rows, by what they stand for."""

import numpy as np
import pytest

from dagmm_model.evaluation.threshold import calibrate
from flows.common.errors import UsageError
from flows.verdicts.recalibration import agreed_threshold, confirmed_normals
from flows.verdicts.standing import standing
from flows.verdicts.store import Review, ReviewRow
from tests.flows.verdicts.made import row_verdict

RATE = 0.05


def rows_of(review, flagged, numbers):
    return [
        ReviewRow(review, n, row_verdict(n).row_key, f'{{"a":{n}}}', 1.0, flagged) for n in numbers
    ]


def test_each_row_stands_for_its_share_of_the_batch():
    review = Review("a", "m", 1, "rows.csv", 0.0, 3.5, 40, 960)
    rows = rows_of("a", True, range(10)) + rows_of("a", False, range(10, 30))
    holds = standing([row_verdict(n, "anomaly" if n < 4 else "normal") for n in range(30)])
    texts, weights = confirmed_normals([review], rows, holds)
    assert len(texts) == 26
    assert sorted(set(weights)) == [4.0, 48.0]
    assert weights.sum() == pytest.approx(6 * 4 + 20 * 48)


def test_false_alarms_alone_say_nothing():
    review = Review("a", "m", 1, "rows.csv", 0.0, 3.5, 40, 960)
    holds = standing([row_verdict(n) for n in range(10)])
    texts, _ = confirmed_normals([review], rows_of("a", True, range(10)), holds)
    assert texts == []


def test_live_rows_like_those_of_the_calibration_change_little():
    rng = np.random.default_rng(0)
    calibration = np.sort(rng.normal(size=2000))
    threshold = calibrate(calibration, RATE).value
    actual = agreed_threshold(calibration, threshold, RATE, rng.normal(size=2000), np.ones(2000))
    assert threshold <= actual < threshold + 0.15


def test_calmer_rows_never_lower_it_and_wilder_ones_raise_it_to_the_rate():
    rng = np.random.default_rng(1)
    calibration = np.sort(rng.normal(size=2000))
    threshold = calibrate(calibration, RATE).value
    calm, weights = rng.normal(-3, 1, 500), np.ones(500)
    assert agreed_threshold(calibration, threshold, RATE, calm, weights) == threshold
    wild = rng.normal(0.5, 1.2, 2000)
    actual = agreed_threshold(calibration, threshold, RATE, wild, np.ones(2000))
    assert actual in calibration
    both = np.concatenate([calibration, wild])
    assert (both > actual).mean() <= RATE < (both > threshold).mean()


def test_few_heavy_rows_count_as_few():
    calibration = np.arange(1000.0)
    threshold = calibrate(calibration, RATE).value
    live, weights = np.array([5000.0, 1.0]), np.array([1.0, 999.0])
    assert agreed_threshold(calibration, threshold, RATE, live, weights) <= threshold + 1


def test_rows_beyond_every_calibration_row_want_a_training():
    calibration = np.arange(100.0)
    with pytest.raises(UsageError, match="train again"):
        agreed_threshold(calibration, 94.0, RATE, np.full(300, 500.0), np.ones(300))
