import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagmm_model.evaluation.metrics import deployment_metrics, slice_metrics
from dagmm_model.evaluation.threshold import (
    SAME,
    CalibrationError,
    calibrate,
    exceeds,
    just_below,
    p_values,
)

ENERGIES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300)


@given(ENERGIES, st.floats(0.01, 0.5))
def test_the_threshold_is_a_calibration_energy_that_keeps_its_promise(energies, rate):
    threshold = calibrate(energies, rate)
    assert threshold.value in energies
    above = (np.array(energies) > threshold.value).sum()
    assert above <= rate * (len(energies) + 1)
    assert threshold.guaranteed_rate <= rate + 1e-12 or threshold.note


@pytest.mark.parametrize(("rows", "rate"), [(19, 0.05), (99, 0.1), (500, 0.02)])
def test_false_alarms_on_fresh_rows_are_within_the_guarantee(rows, rate):
    rng = np.random.default_rng(0)
    rates, guaranteed = [], None
    for _ in range(2000):
        threshold = calibrate(rng.standard_exponential(rows), rate)
        guaranteed = threshold.guaranteed_rate
        rates.append(np.exp(-threshold.value))  # exact exceedance of a standard exponential
    standard_error = np.std(rates) / np.sqrt(len(rates))
    assert abs(np.mean(rates) - guaranteed) < 4 * standard_error
    assert guaranteed <= rate


def test_too_few_rows_say_what_they_can_guarantee():
    threshold = calibrate(np.arange(9.0), 0.05)
    assert threshold.value == 8.0
    assert threshold.guaranteed_rate == pytest.approx(0.1)
    assert "19 rows would do" in threshold.note


@pytest.mark.parametrize(
    ("energies", "rate", "message"),
    [
        ([], 0.05, "no validation rows"),
        ([1.0, np.nan], 0.05, "not finite"),
        ([1.0], 1.0, "between"),
    ],
)
def test_unusable_input_is_refused(energies, rate, message):
    with pytest.raises(CalibrationError, match=message):
        calibrate(energies, rate)


@given(ENERGIES, ENERGIES)
def test_p_values_count_the_calibration_rows_at_least_as_energetic(energies, calibration):
    ordered = np.sort(calibration)
    got = p_values(energies, ordered)
    same = [SAME * max(1.0, abs(e)) for e in energies]
    counts = [(ordered >= e - s).sum() for e, s in zip(energies, same, strict=True)]
    expected = [(1 + count) / (len(ordered) + 1) for count in counts]
    assert np.allclose(got, expected)


def test_energies_that_differ_in_the_last_digits_only_are_equal():
    assert np.array_equal(p_values([0.0, 1e-6], [-2.9e-10]), [1.0, 0.5])


@given(st.floats(-1e12, 1e12))
def test_a_verdict_does_not_turn_on_the_last_digits(value):
    same = np.array([value, np.nextafter(value, np.inf), value * (1 + 1e-13)])
    higher = value + 1e-6 * max(1.0, abs(value))
    assert not exceeds(same, value).any()
    assert exceeds(same, just_below(value)).all()
    assert exceeds(higher, value)
    labels, energies = [False] * 3 + [True], [*same, higher]
    measured = deployment_metrics(labels, energies, value)
    assert measured.false_alarm_rate.value == 0
    assert measured.recall.value == 1
    (whole,) = slice_metrics(["all"] * 4, labels, energies, value)
    assert whole.flagged == 1
