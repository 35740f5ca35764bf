"""What other thresholds would do: from the alert budget to alarms, recall and precision."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dagmm_model.evaluation.metrics import Interval, binomial_interval
from dagmm_model.evaluation.threshold import alarms_expected, calibrate, exceeds

RATES = (0.0001, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""False-alarm rates that are tabulated, as far as the calibration rows guarantee them."""

ROWS = 1000
"""Normal rows that alarms are told for, unless somebody knows those of a day."""


@dataclass(frozen=True)
class WhatIf:
    """What one threshold would do; intervals hold with 95 % probability.

    Attributes:
        rate: False-alarm rate asked for.
        guaranteed_rate: Largest expected share of normal rows above the threshold.
        threshold: Energy above which a row is an anomaly.
        alarms: False alarms among `rows` normal rows to come, the threshold's own uncertainty
            included.
        rows: Those normal rows.
        alert_rate: Share of the evaluation rows above the threshold.
        recall: Of the evaluation rows' anomalies; None without any.
        precision: Of the evaluation rows above the threshold; None without labels or such rows.
    """

    rate: float
    guaranteed_rate: float
    threshold: float
    alarms: Interval
    rows: int
    alert_rate: Interval
    recall: Interval | None
    precision: Interval | None


def what_if(
    calibration: ArrayLike,
    energies: ArrayLike,
    anomalous: ArrayLike | None,
    *,
    rows: int = ROWS,
    also: Iterable[float] = (),
) -> tuple[WhatIf, ...]:
    """Tabulate false-alarm rates, the smallest first, from the smallest that can be guaranteed.

    Args:
        calibration: Energies of the held-out normal rows, shape ``(n,)``.
        energies: Energies of the evaluation rows, shape ``(m,)``.
        anomalous: True for their anomalies; None without labels.
        rows: Normal rows to come that alarms are told for, e.g. those of a day.
        also: Further rates, e.g. the one in use.
    """
    normal = np.sort(np.asarray(calibration, dtype=np.float64))
    scores = np.asarray(energies, dtype=np.float64)
    labels = None if anomalous is None else np.asarray(anomalous, dtype=bool)
    least = 1 / (len(normal) + 1)
    # A rate of the number of rows itself, a little more for what division rounds off.
    rates = {least * (1 + 1e-12), *(rate for rate in (*RATES, *also) if rate > least)}
    return tuple(_at(rate, normal, scores, labels, rows) for rate in sorted(rates))


def _at(
    rate: float,
    normal: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray | None,
    rows: int,
) -> WhatIf:
    threshold = calibrate(normal, rate)
    flagged = exceeds(scores, threshold.value)
    alarms = int(flagged.sum())
    recall = precision = None
    if labels is not None:
        hits, anomalies = int((flagged & labels).sum()), int(labels.sum())
        recall = binomial_interval(hits, anomalies) if anomalies else None
        precision = binomial_interval(hits, alarms) if alarms else None
    expected = alarms_expected(rows, normal, threshold.value)
    low, high = float(expected.ppf(0.025)), float(expected.isf(0.025))
    return WhatIf(
        rate=rate,
        guaranteed_rate=threshold.guaranteed_rate,
        threshold=threshold.value,
        alarms=Interval(threshold.guaranteed_rate * rows, low, high),
        rows=rows,
        alert_rate=binomial_interval(alarms, len(scores)),
        recall=recall,
        precision=precision,
    )
