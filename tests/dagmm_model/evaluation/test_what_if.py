"""What another threshold would do: against simulation, and against the threshold itself."""

import numpy as np
import pytest

from dagmm_model.evaluation.threshold import calibrate, exceeds
from dagmm_model.evaluation.what_if import RATES, what_if


@pytest.fixture(scope="module")
def energies():
    rng = np.random.default_rng(0)
    labels = rng.random(500) < 0.2
    return rng.normal(size=300), rng.normal(size=500) + 2.0 * labels, labels


def test_each_line_is_its_threshold(energies):
    calibration, scores, labels = energies
    for line in what_if(calibration, scores, labels, also=[0.03]):
        threshold = calibrate(calibration, line.rate)
        assert threshold.note == ""
        assert line.threshold == threshold.value
        assert line.guaranteed_rate == threshold.guaranteed_rate <= line.rate
        flagged = exceeds(scores, threshold.value)
        assert line.alert_rate.value == flagged.mean()
        assert line.recall.value == flagged[labels].mean()
        assert line.recall.low <= line.recall.value <= line.recall.high
        if flagged.any():
            assert line.precision.value == labels[flagged].mean()


def test_only_what_can_be_guaranteed_is_promised(energies):
    calibration, scores, labels = energies
    rates = [line.rate for line in what_if(calibration, scores, labels, also=[0.03])]
    assert rates[0] == pytest.approx(1 / 301)
    assert rates[1:] == sorted([rate for rate in RATES if rate > 1 / 301] + [0.03])
    thresholds = [line.threshold for line in what_if(calibration, scores, labels)]
    assert thresholds == sorted(thresholds, reverse=True)


def test_without_labels_there_is_no_recall(energies):
    calibration, scores, _ = energies
    assert all(line.recall is line.precision is None for line in what_if(calibration, scores, None))


def test_the_alarms_of_a_day_fall_into_the_interval():
    """Calibration rows and the rows of a day are both drawn afresh, as in use."""
    rng = np.random.default_rng(1)
    days = [(rng.normal(size=199), rng.normal(size=1000)) for _ in range(400)]
    first, second = (
        next(line.alarms for line in what_if(*day, None, rows=1000) if line.rate == 0.05)
        for day in days[:2]
    )
    assert first == second  # of ranks alone, so that one interval is that of all
    alarms = [exceeds(day, calibrate(rows, 0.05).value).sum() for rows, day in days]
    assert np.mean([first.low <= count <= first.high for count in alarms]) > 0.92
    assert np.mean(alarms) == pytest.approx(50, rel=0.1)
