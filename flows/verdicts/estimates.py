"""How good a version is on live rows, as far as people have looked at them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dagmm_model.evaluation.metrics import Interval, binomial_interval
from flows.verdicts.standing import RowVerdict, Standing, standing
from flows.verdicts.store import Review, ReviewRow, read_reviews, read_verdicts

DRAWS = 20_000
LEVEL = 0.95


@dataclass(frozen=True)
class Live:
    """Figures of a version on live rows.

    Attributes:
        judged_alerts: Different rows that it flagged and of which somebody is sure.
        precision: Share of anomalies among them; None without any.
        reviews: Batches of which rows were drawn for review.
        drawn: Judged rows among those drawn below the threshold.
        missed: Anomalies among them.
        recall: Estimate with its interval; None before somebody has judged a drawn row and an
            alert.
    """

    version: int
    judged_alerts: int
    precision: Interval | None
    reviews: int
    drawn: int
    missed: int
    recall: Interval | None


def known_verdicts(url: str, model: str, version: int) -> tuple[dict[str, int], Live]:
    """Rows of a model by what holds of them, and the figures of a version on live rows."""
    verdicts = read_verdicts(url, model)
    holds = standing(verdicts)
    reviews, drawn = read_reviews(url, model, version)
    words = ("anomaly", "normal", "unsure", "disputed")
    counts = {word: sum(each.holds == word for each in holds.values()) for word in words}
    return counts, live_figures(version, verdicts, holds, reviews, drawn)


def live_figures(
    version: int,
    verdicts: Iterable[RowVerdict],
    holds: Mapping[str, Standing],
    reviews: Sequence[Review],
    rows: Iterable[ReviewRow],
) -> Live:
    """Precision of what was judged, and recall by what was drawn below the threshold.

    The interval of the precision is exact (Clopper and Pearson). It is of the alerts that were
    judged: of all alerts only as far as these are like the others.
    """
    flagged = {v.row_key for v in verdicts if v.version == version and v.flagged}
    labels = [holds[key].label for key in flagged]
    judged = [label for label in labels if label is not None]
    alerts, below = _judged(rows, holds)
    drawn, missed = (sum(counts[i] for counts in below.values()) for i in (0, 1))
    return Live(
        version,
        len(judged),
        binomial_interval(sum(judged), len(judged), LEVEL) if judged else None,
        len(reviews),
        drawn,
        missed,
        estimated_recall(reviews, alerts, below),
    )


Counts = Mapping[str, tuple[int, int]]
"""For each review the rows judged, and the anomalies among them."""


def _judged(
    rows: Iterable[ReviewRow], holds: Mapping[str, Standing]
) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]:
    """Judged alerts and judged other rows of each review; equal rows count each."""
    seen: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    bad: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for row in rows:
        label = holds[row.row_key].label if row.row_key in holds else None
        if label is not None:
            seen[row.flagged][row.review] += 1
            bad[row.flagged][row.review] += label
    alerts, below = (
        {r: (n, bad[flag][r]) for r, n in seen[flag].items()} for flag in (True, False)
    )
    return alerts, below


def estimated_recall(reviews: Sequence[Review], alerts: Counts, below: Counts) -> Interval | None:
    """Share of all anomalies that were alerts.

    The anomalies among the alerts, and those among the other rows, are estimated by what was
    judged of each batch, weighed by the rows that it stands for. The interval is the central 95 %
    of the recall when both shares follow their posteriors under Jeffreys' prior, whose numbers of
    rows are the effective ones of a weighted sample (Kish, 1965).

    Of `reviews` only those with judged drawn rows count, or with no other rows at all.
    """
    counted = [
        r for r in reviews if (r.id in below or not r.below) and (r.id in alerts or not r.alerts)
    ]
    if not any(r.id in below for r in counted) or not any(r.id in alerts for r in counted):
        return None
    generator = np.random.default_rng(0)
    alerted, alerted_draws = _anomalies(
        [(r.alerts, alerts.get(r.id, (0, 0))) for r in counted], generator
    )
    missed, missed_draws = _anomalies(
        [(r.below, below.get(r.id, (0, 0))) for r in counted], generator
    )
    if alerted + missed == 0:
        return None
    value = alerted / (alerted + missed)
    low, high = np.quantile(alerted_draws / (alerted_draws + missed_draws), [0.025, 0.975])
    # Where nothing was missed, or nothing found, the central interval ends before the estimate.
    return Interval(value, min(float(low), value), max(float(high), value))


def _anomalies(
    strata: Sequence[tuple[int, tuple[int, int]]], generator: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Estimated anomalies of some rows, and draws of their number."""
    total = sum(rows for rows, _ in strata)
    weights = [(rows / n, n, bad) for rows, (n, bad) in strata if n]
    if not weights:
        return 0.0, np.zeros(DRAWS)
    sampled = sum(weight * n for weight, n, _ in weights)
    share = sum(weight * bad for weight, _, bad in weights) / sampled
    effective = sampled**2 / sum(weight**2 * n for weight, n, _ in weights)
    if all(weight <= 1 for weight, _, _ in weights):  # every row was judged: nothing is uncertain
        return share * total, np.full(DRAWS, share * total)
    draws = generator.beta(effective * share + 0.5, effective * (1 - share) + 0.5, DRAWS)
    return share * total, draws * total
