"""How good the energies are, with intervals, by the paper's protocol and as deployed.

Throughout, ``anomalous`` is True for anomalies, energies are higher = more anomalous, both of shape
``(rows,)``; an energy that is not finite, or another number of labels, is a ValueError.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.evaluation.ranking import Ranked, precision_recall_f1
from dagmm_model.evaluation.threshold import exceeds

BOOTSTRAP_RUNS = 10_000
"""With more distinct energies than this, neighbours are pooled for the intervals (not for the
figures themselves), so that their cost does not grow with the table."""

RANKED_FIGURES = ("roc_auc", "average_precision", "precision", "recall", "f1")
"""Figures of `Ranked.figures`, in that order."""
LABEL_FIGURES = (*RANKED_FIGURES, "false_alarm_rate")
"""Figures of `DeploymentMetrics` that need labels."""


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def ends(self, digits: int = 4) -> str:
        """`[0.8801, 0.9412]`."""
        return f"[{self.low:.{digits}f}, {self.high:.{digits}f}]"

    def text(self, digits: int = 4) -> str:
        """`0.9123 [0.8801, 0.9412]`."""
        return f"{self.value:.{digits}f} {self.ends(digits)}"


@dataclass(frozen=True)
class PaperMetrics:
    """Paper section 4.3: the threshold flags as many test rows as there are anomalies.

    It uses the anomaly ratio of the test set, which nobody has in production.
    """

    precision: float
    recall: float
    f1: float
    roc_auc: float
    average_precision: float
    threshold: float
    rows: int
    anomalies: int


@dataclass(frozen=True)
class DeploymentMetrics:
    """What a user gets from the calibrated threshold; label figures are None without labels.

    `false_alarm_rate` carries an exact (Clopper-Pearson) interval, the others bootstrap intervals.
    """

    rows: int
    normals: int | None
    anomalies: int | None
    alert_rate: float
    roc_auc: Interval | None = None
    average_precision: Interval | None = None
    precision: Interval | None = None
    recall: Interval | None = None
    f1: Interval | None = None
    false_alarm_rate: Interval | None = None
    not_reported: str = ""

    def figures(self) -> dict[str, Interval]:
        """Those of the `LABEL_FIGURES` that were measured."""
        measured = {name: getattr(self, name) for name in LABEL_FIGURES}
        return {name: interval for name, interval in measured.items() if interval is not None}


@dataclass(frozen=True)
class SliceMetrics:
    """What was flagged of the rows with one slice value, with exact intervals.

    Attributes:
        value: The slice value.
        rows: Number of rows.
        anomalies: Anomalies among them.
        flagged: Rows above the threshold.
        flagged_rate: Share of those in all rows of the slice.
        recall: Share of flagged rows among its anomalies; None without any, and in evidence from
            before there was this figure.
        false_alarm_rate: Share of flagged rows among its normal rows; None likewise.
    """

    value: str
    rows: int
    anomalies: int
    flagged: int
    flagged_rate: Interval
    recall: Interval | None = None
    false_alarm_rate: Interval | None = None


def paper_metrics(anomalous: ArrayLike, energies: ArrayLike) -> PaperMetrics:
    """Precision, recall and F1 with the threshold at the known anomaly ratio.

    Args:
        anomalous: True for anomalies, shape ``(rows,)``; both classes must occur.
        energies: Higher = more anomalous, shape ``(rows,)``.

    Raises:
        ValueError: Only one class occurs, or an energy is not finite.
    """
    labels, scores = checked(anomalous, energies)
    anomalies = int(labels.sum())
    if anomalies in (0, len(labels)):
        raise ValueError("the paper's protocol needs normal and anomalous test rows")
    threshold = np.partition(scores, -anomalies)[-anomalies]
    flagged = scores >= threshold
    precision, recall, f1 = precision_recall_f1(
        float((flagged & labels).sum()), float(flagged.sum()), float(anomalies)
    )
    roc_auc, average_precision, *_ = Ranked(labels, scores, threshold).figures()
    return PaperMetrics(
        precision, recall, f1, roc_auc, average_precision, float(threshold), len(labels), anomalies
    )


def deployment_metrics(
    anomalous: ArrayLike | None,
    energies: ArrayLike,
    threshold: float,
    *,
    resamples: int = 500,
    seed: int = 0,
) -> DeploymentMetrics:
    """Metrics of the calibrated threshold, with 95 % intervals.

    Args:
        anomalous: True for anomalies, shape ``(rows,)``, or None when nothing is labelled.
        energies: Higher = more anomalous, shape ``(rows,)``.
        threshold: Rows above it are flagged.
        resamples: Bootstrap resamples, stratified by label.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: An energy is not finite, or the lengths differ.
    """
    if anomalous is None:
        scores = _finite(energies)
        return DeploymentMetrics(
            len(scores),
            None,
            None,
            float(exceeds(scores, threshold).mean()),
            not_reported="no labels: only the alert rate can be reported",
        )
    labels, scores = checked(anomalous, energies)
    flagged = exceeds(scores, threshold)
    anomalies = int(labels.sum())
    normals = len(labels) - anomalies
    counted = DeploymentMetrics(
        len(labels),
        normals,
        anomalies,
        float(flagged.mean()),
        false_alarm_rate=_flagged_share(flagged[~labels]),
    )
    if anomalies == 0 or normals == 0:
        absent = "anomalies" if anomalies == 0 else "normal rows"
        why = f"no labelled {absent}: how well they are told apart cannot be reported"
        return replace(counted, recall=_flagged_share(flagged[labels]), not_reported=why)
    point = np.array(Ranked(labels, scores, threshold).figures())
    ranked = Ranked(labels, scores, threshold, BOOTSTRAP_RUNS)
    rng = np.random.default_rng(seed)
    draws = np.array([ranked.resampled(rng) for _ in range(resamples)])
    draws += point - ranked.figures()  # nothing, unless neighbouring energies were pooled
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    ends = zip(point.tolist(), low.tolist(), high.tolist(), strict=True)
    measured = dict(zip(RANKED_FIGURES, (Interval(*each) for each in ends), strict=True))
    return replace(counted, **measured)  # type: ignore[arg-type]


def slice_metrics(
    slices: Sequence[object] | NDArray[np.object_],
    anomalous: ArrayLike,
    energies: ArrayLike,
    threshold: float,
) -> tuple[SliceMetrics, ...]:
    """Recall and false-alarm rate for each slice value, with exact intervals; largest first."""
    labels, scores = checked(anomalous, energies)
    flagged = exceeds(scores, threshold)
    names, which = np.unique(np.asarray(slices).astype(str), return_inverse=True)
    measured = []
    for i, name in enumerate(names):
        rows = which == i
        measured.append(
            SliceMetrics(
                str(name),
                int(rows.sum()),
                int(labels[rows].sum()),
                int(flagged[rows].sum()),
                binomial_interval(int(flagged[rows].sum()), int(rows.sum())),
                _flagged_share(flagged[rows & labels]),
                _flagged_share(flagged[rows & ~labels]),
            )
        )
    return tuple(sorted(measured, key=lambda s: (-s.rows, s.value)))


def _flagged_share(flagged: NDArray[np.bool_]) -> Interval | None:
    return binomial_interval(int(flagged.sum()), len(flagged)) if len(flagged) else None


def binomial_interval(hits: int, rows: int, level: float = 0.95) -> Interval:
    """Share with its exact Clopper-Pearson interval; `rows` must be positive."""
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = betaincinv(hits, rows - hits + 1, tail) if hits else 0.0
    high = betaincinv(hits + 1, rows - hits, 1 - tail) if hits < rows else 1.0
    return Interval(hits / rows, float(low), float(high))


def checked(anomalous: ArrayLike, energies: ArrayLike) -> tuple[NDArray[np.bool_], Float]:
    """Labels ``(rows,)`` and energies ``(rows,)`` as arrays; what is wrong with them is raised."""
    labels, scores = np.asarray(anomalous, dtype=bool), _finite(energies)
    if labels.shape != scores.shape:
        raise ValueError(f"{len(labels)} labels for {len(scores)} energies")
    return labels, scores


def _finite(energies: ArrayLike) -> Float:
    scores = np.asarray(energies, dtype=np.float64).ravel()
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} energies are not finite")
    return scores
