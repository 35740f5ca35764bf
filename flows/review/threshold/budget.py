"""What a team can look at, as the share of normal rows that may raise an alert."""

import math
import re

from flows.common.errors import UsageError

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
PERIOD = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def seconds_of(period: str) -> float:
    """Seconds of `30m`, `12h`, `1d` or `2w`.

    Raises:
        UsageError: It is not such a period.
    """
    match = PERIOD.fullmatch(period.strip())
    if match is None or not float(match[1]):
        raise UsageError(f"period {period!r}: write a number and one of s, m, h, d, w, e.g. 1d")
    return float(match[1]) * SECONDS[match[2]]


def whole_rows(period: str, rows: float) -> int:
    """Rows that come in a period, as a table of budgets counts them.

    Raises:
        UsageError: It is no period, or no number of rows.
    """
    seconds_of(period)
    if not 1 <= rows < math.inf:
        raise UsageError(f"--rows-per {period} {rows:g}: give a number of rows, 1 or more")
    return int(rows)


def false_alarm_rate(
    rate: float | None,
    alerts: float | None,
    per: str,
    rows_per: tuple[str, float] | None,
) -> float:
    """The rate of a budget, which is given as a rate, or as alerts and rows of some periods.

    Args:
        rate: Share of normal rows.
        alerts: Or false alarms that are looked at in a period.
        per: That period, e.g. `1d`.
        rows_per: And the rows that come in another period, e.g. ``("1h", 2500)``.

    Raises:
        UsageError: Neither or both are given, something is missing, or no threshold can do that.
    """
    if (rate is None) == (alerts is None):
        raise UsageError("name the budget: --false-alarm-rate 0.01, or --alerts 20 --rows-per 1d N")
    if rate is None:
        assert alerts is not None
        if rows_per is None:
            raise UsageError("--alerts needs the rows that come: --rows-per 1d N")
        period, rows = rows_per
        if not (0 < alerts < math.inf and 0 < rows < math.inf):
            raise UsageError(
                f"--alerts {alerts:g} of {rows:g} rows: both have to be numbers above 0"
            )
        rate = (alerts / seconds_of(per)) / (rows / seconds_of(period))
        if rate >= 1:
            raise UsageError(
                f"a budget of {alerts:g} alerts per {per} is no less than the {rows:g} rows per "
                f"{period}: every row may be looked at, which needs no threshold"
            )
    elif rows_per is not None:
        raise UsageError("--rows-per goes with --alerts")
    if not 0 < rate < 1:
        raise UsageError(f"--false-alarm-rate {rate:g}: it has to lie between 0 and 1")
    return rate
