"""Rows that rank detectors by their average precision, and neither calibrate nor judge them.

They are a part of the *training* rows, which the ranked detectors are not fitted on, and the
labelled anomalies that the split has set aside. The threshold keeps its guarantee, because the rows
that calibrate it take no part, and promotion judges on test rows that nobody has chosen by.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from dagmm_model.tables.protocols import deployment_split, duplicate_groups
from flows.common.config import keeps_duplicates_together
from flows.common.features import as_frame, encoder_for, labels_of, read_rows
from flows.pipeline.split import positions
from flows.stages.records import JudgedRecord, SplitRecord
from flows.stages.run import TrainRun

LEAST_ANOMALIES = 5
"""With fewer labelled anomalies an average precision is a game of chance."""
MOST_ROWS = 25_000
"""Most training rows and most anomalies that take part."""
FITTED = 0.8
"""Share of the training rows that detectors are fitted on."""


@dataclass(frozen=True)
class Ranking:
    """Rows to fit detectors on, and rows to rank them by.

    Attributes:
        fitted: Normal rows ``(n, D)``.
        ranked: Normal rows and anomalies ``(m, D)``.
        truth: True for the anomalies, ``(m,)``.
        weights: ``(m,)``; they make anomalies as rare as in the table.
    """

    fitted: np.ndarray
    ranked: np.ndarray
    truth: np.ndarray
    weights: np.ndarray

    @property
    def normals(self) -> int:
        """Normal rows among the ranked ones."""
        return int((~self.truth).sum())

    @property
    def anomalies(self) -> int:
        """Anomalies among them."""
        return int(self.truth.sum())

    def figures(self, energies: np.ndarray) -> tuple[float, float]:
        """Average precision and ROC AUC of energies of the ranked rows ``(m,)``.

        Raises:
            ValueError: One is not finite.
        """
        precision = average_precision_score(self.truth, energies, sample_weight=self.weights)
        return float(precision), float(roc_auc_score(self.truth, energies))


@dataclass(frozen=True)
class Rankable:
    """Encoded rows of which rankings are made.

    Attributes:
        normal: Training rows ``(n, D)``.
        anomalous: Labelled anomalies outside the test rows ``(m, D)``.
        share: Normal rows for each anomaly in the table.
        grouped: Whether identical rows stay on one side.
    """

    normal: np.ndarray
    anomalous: np.ndarray
    share: float
    grouped: bool = False

    @property
    def measurable(self) -> bool:
        """Whether there are anomalies enough."""
        return len(self.anomalous) >= LEAST_ANOMALIES

    @property
    def missing(self) -> str:
        """Why nothing can be ranked."""
        return (
            f"{len(self.anomalous)} labelled anomalies outside the test rows, {LEAST_ANOMALIES} "
            "needed to choose by"
        )

    def ranking(self, seed: int) -> Ranking:
        """The ranking of a seed: which training rows are held out."""
        parts = deployment_split(
            np.zeros(len(self.normal), dtype=bool),
            seed,
            groups=duplicate_groups(self.normal) if self.grouped else None,
            fractions=(FITTED, (1 - FITTED) / 2, (1 - FITTED) / 2),
        )
        held = self.normal[np.concatenate([parts.validation, parts.test])]
        truth = np.repeat([False, True], [len(held), len(self.anomalous)])
        # As rare as in the table, whose anomalies are all here and whose normal rows are not.
        weights = np.where(truth, 1.0, self.share * len(self.anomalous) / len(held))
        ranked = np.concatenate([held, self.anomalous])
        return Ranking(self.normal[parts.train], ranked, truth, weights)


def rankable(run: TrainRun, rows: JudgedRecord, parts: SplitRecord) -> Rankable:
    """The rows of a training that may rank detectors; its validation and test rows are not read."""
    contract, config = run.contract, run.config
    aside = _sampled(positions(parts, "set_aside"), config.seed)
    labels = labels_of(read_rows(rows.path, contract, aside))
    aside = aside[:0] if labels is None else aside[labels]
    train = read_rows(rows.path, contract, _sampled(positions(parts, "train"), config.seed))
    encoder = encoder_for(contract, train)
    return Rankable(
        encoder.encode(as_frame(train)),
        encoder.encode(as_frame(read_rows(rows.path, contract, aside))),
        (parts.train_rows + parts.validation_rows) / max(1, parts.set_aside_rows),
        keeps_duplicates_together(config, contract),
    )


def _sampled(rows: np.ndarray, seed: int) -> np.ndarray:
    """At most `MOST_ROWS` of the positions, ascending."""
    if len(rows) <= MOST_ROWS:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, MOST_ROWS, replace=False))
