"""A budget of alerts to a false-alarm rate."""

import pytest

from flows.common.errors import UsageError
from flows.review.threshold.budget import false_alarm_rate, seconds_of, whole_rows


@pytest.mark.parametrize(
    ("period", "seconds"), [("1d", 86_400), ("30m", 1_800), ("1.5h", 5_400), ("2w", 1_209_600)]
)
def test_periods(period, seconds):
    assert seconds_of(period) == seconds


@pytest.mark.parametrize("period", ["", "d", "1", "0d", "-1d", "1y", "1d2h", "nan d"])
def test_what_is_no_period(period):
    with pytest.raises(UsageError, match="period"):
        seconds_of(period)


def test_alerts_of_one_period_among_the_rows_of_another():
    assert false_alarm_rate(None, 24, "1d", ("1h", 100)) == pytest.approx(0.01)
    assert false_alarm_rate(None, 7, "1w", ("1d", 20)) == pytest.approx(0.05)
    assert false_alarm_rate(0.03, None, "1d", None) == 0.03


@pytest.mark.parametrize(
    ("rate", "alerts", "rows", "words"),
    [
        (None, None, None, "name the budget"),
        (0.1, 20, ("1d", 100), "name the budget"),
        (None, 20, None, "--rows-per"),
        (0.1, None, ("1d", 100), "--rows-per goes with --alerts"),
        (None, 0, ("1d", 100), "above 0"),
        (None, 20, ("1d", 0), "above 0"),
        (None, 100, ("1d", 100), "every row may be looked at"),
        (0.0, None, None, "between 0 and 1"),
        (1.0, None, None, "between 0 and 1"),
        (float("nan"), None, None, "between 0 and 1"),
        (None, float("nan"), ("1d", 100), "above 0"),
        (None, 20, ("1d", float("inf")), "inf rows: both have to be numbers above 0"),
        (None, float("inf"), ("1d", 100), "above 0"),
    ],
)
def test_what_is_no_budget(rate, alerts, rows, words):
    with pytest.raises(UsageError, match=words):
        false_alarm_rate(rate, alerts, "1d", rows)


@pytest.mark.parametrize("rows", [0, 0.5, -3, float("inf"), float("nan")])
def test_what_is_no_number_of_rows(rows):
    with pytest.raises(UsageError, match=r"--rows-per 1d .*a number of rows, 1 or more"):
        whole_rows("1d", rows)


def test_a_table_of_budgets_counts_whole_rows_of_a_period():
    assert whole_rows("2w", 1000.0) == 1000
    with pytest.raises(UsageError, match="period 'day'"):
        whole_rows("day", 1000)
