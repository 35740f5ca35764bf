"""Rows by falling energy, counted by runs of ties, and bootstrap samples of them.

The bootstrap never touches a row: what matters of a resample is how many anomalies and normals it
drew from each run of tied energies, which is one multinomial draw for each class.
"""

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.evaluation.threshold import exceeds

Figures = tuple[float, float, float, float, float]
"""ROC AUC, average precision, precision, recall and F1."""


class Ranked:
    """Anomalies and normals of each run of tied energies, most energetic run first.

    Attributes:
        hits: Anomalies of each run, float64.
        alarms: Normals of each run, float64.
        flagged: Number of runs above the threshold.
    """

    def __init__(
        self,
        labels: NDArray[np.bool_],
        scores: Float,
        threshold: float,
        runs: int | None = None,
    ) -> None:
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        above = int(exceeds(scores, threshold).sum())
        if runs is not None and len(ends) > runs:
            kept = np.linspace(0, len(ends) - 1, runs).astype(np.int64)
            ends = np.union1d(ends[kept], [above - 1] if above else [])
        self.flagged = int((ends < above).sum())
        hits = np.cumsum(labels[order].astype(np.float64))[ends]
        self.hits = np.diff(hits, prepend=0.0)
        self.alarms = np.diff(ends + 1.0 - hits, prepend=0.0)

    def figures(self) -> Figures:
        """Figures of the rows as they are."""
        return _figures(self.hits, self.alarms, self.flagged)

    def resampled(self, rng: np.random.Generator) -> Figures:
        """Figures of a bootstrap sample in which each class keeps its size."""
        hits, alarms = (
            rng.multinomial(int(counts.sum()), counts / counts.sum()).astype(np.float64)
            for counts in (self.hits, self.alarms)
        )
        return _figures(hits, alarms, self.flagged)


def _figures(new_hits: Float, new_alarms: Float, flagged: int) -> Figures:
    """ROC AUC (ties count half), average precision, precision, recall and F1."""
    hits, alarms = np.cumsum(new_hits), np.cumsum(new_alarms)
    ranked = hits + alarms
    roc_auc = (new_alarms @ (hits - new_hits / 2)) / (hits[-1] * alarms[-1])
    # A leading run may have been drawn zero times.
    average_precision = (new_hits @ (hits / np.maximum(ranked, 1.0))) / hits[-1]
    hit, alerts = (hits[flagged - 1], ranked[flagged - 1]) if flagged else (0.0, 0.0)
    precision, recall, f1 = precision_recall_f1(float(hit), float(alerts), float(hits[-1]))
    return float(roc_auc), float(average_precision), precision, recall, f1


def precision_recall_f1(
    hits: float, flagged: float, anomalies: float
) -> tuple[float, float, float]:
    """Precision, recall and F1 of counts; 0 where there is nothing to divide by."""
    precision = hits / flagged if flagged else 0.0
    recall = hits / anomalies if anomalies else 0.0
    f1 = 2 * hits / (flagged + anomalies) if flagged + anomalies else 0.0
    return precision, recall, f1
