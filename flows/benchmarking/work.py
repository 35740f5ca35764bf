"""One cell of a benchmark from beginning to end, in whatever process it runs."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from dagmm_model.evaluation.metrics import paper_metrics
from dagmm_model.evaluation.threshold import calibrate, exceeds
from dagmm_model.tables.protocols import RowSplit
from flows.benchmarking.cells import Cell
from flows.benchmarking.data import Prepared
from flows.benchmarking.entrants import REFERENCE, Row
from flows.benchmarking.protocols import BEST_COLUMN, PROTOCOLS, RECONSTRUCTION

TARGET_RATE = 0.05
"""False-alarm rate that the deployment protocol's threshold is calibrated for."""


@dataclass(frozen=True)
class Job:
    """A cell to be measured."""

    data: Prepared
    protocol: str
    grouped: bool
    seed: int
    row: Row
    settings_sha256: str

    def cell(self, variant: str = "", **values: Any) -> Cell:
        """The cell of this job with what was found; `variant` names a row beside its own."""
        return Cell(
            dataset=self.data.dataset,
            protocol=self.protocol,
            grouped=self.grouped,
            seed=self.seed,
            detector=f"{self.row.label}, {variant}" if variant else self.row.label,
            settings_sha256=self.settings_sha256,
            data_sha256=self.data.digest_for(self.protocol),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            **values,
        )

    def split(self) -> RowSplit:
        """Which rows train, calibrate and test."""
        return self.data.split(self.protocol, self.seed, grouped=self.grouped)

    @property
    def key(self) -> tuple[Any, ...]:
        """Key of its cell."""
        return self.cell().key


def measure_cell(job: Job) -> list[Cell]:
    """Fit and score on one thread. Whatever goes wrong is the reason of a failed cell."""
    with threadpool_limits(1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        started = time.process_time()
        try:
            cells = list(_measured(job))
        except Exception as error:  # a detector may fail in any way; the others go on
            reason = f"{type(error).__name__}: {error}"[:2000]
            return [job.cell(reason=reason, seconds=time.process_time() - started)]
    if caught:
        cells[0].remarks["warnings"] = sorted({str(warning.message)[:200] for warning in caught})[
            :3
        ]
    return cells


def _measured(job: Job) -> Iterator[Cell]:
    split = job.split()
    if job.row.name == BEST_COLUMN:
        test, truth = job.data.take(split.test), job.data.labels()[split.test]
        column, energies = best_column(truth, test)
        yield job.cell(
            **cell_figures(truth, energies, None), seconds=0.0, remarks={"column": column}
        )
        return
    detector = job.row.unfitted(job.data.dataset, job.seed)
    train = job.data.take(split.train)
    started = time.process_time()
    detector.fit(train)
    yield from scored_cells(job, detector, time.process_time() - started)


def scored_cells(job: Job, detector: Any, seconds: float) -> Iterator[Cell]:
    """Cells of a job's fitted detector, which took these seconds of processor time to fit."""
    split = job.split()
    test, truth = job.data.take(split.test), job.data.labels()[split.test]
    held = job.data.take(split.validation) if job.protocol == "deployment" else None

    def scored(energy: Any) -> dict[str, Any]:
        started = time.process_time()
        energies = energy(test)
        spent = time.process_time() - started
        values = cell_figures(truth, energies, None if held is None else energy(held))
        return values | {"seconds": seconds, "score_seconds": spent}

    yield job.cell(**scored(detector.energy), remarks=_remarks(detector))
    judged_by = PROTOCOLS[job.protocol].judged_by
    if RECONSTRUCTION in judged_by and job.row.name == REFERENCE and not job.row.variant:
        yield job.cell(RECONSTRUCTION, **scored(detector.reconstruction_error))


def _remarks(detector: Any) -> dict[str, Any]:
    remarks = {}
    if detector.n_iter_:
        remarks["epochs"] = int(detector.n_iter_)
    if detector.health_ is not None:
        remarks["components"] = round(float(detector.health_.effective_components), 2)
    return remarks


def cell_figures(
    labels: np.ndarray, energies: np.ndarray, held: np.ndarray | None
) -> dict[str, float | None]:
    """Figures of one scoring of the test rows.

    Args:
        labels: True for anomalies, bool ``(n,)``.
        energies: Of the test rows, float64 ``(n,)``.
        held: Energies of validation normals that calibrate the threshold; None for the paper's
            threshold at the known anomaly ratio.

    Raises:
        ValueError: An energy is not finite, or only one class occurs.
    """
    known = paper_metrics(labels, energies)
    ranked = {"roc_auc": known.roc_auc, "ap": known.average_precision}
    if held is None:
        return ranked | {"f1": known.f1}
    flagged = exceeds(energies, calibrate(held, TARGET_RATE).value)
    hits, anomalies = int((flagged & labels).sum()), int(labels.sum())
    return ranked | {
        "f1": 2 * hits / (int(flagged.sum()) + anomalies),
        "recall": hits / anomalies,
        "false_alarms": float(flagged[~labels].mean()),
    }


def best_column(labels: np.ndarray, test: np.ndarray) -> tuple[str, np.ndarray]:
    """The column, and its direction, with the largest ROC AUC *on the test rows*.

    No detector could choose it: it says how hard the table is.
    """
    areas = np.array([paper_metrics(labels, column).roc_auc for column in test.T])
    best = int(np.abs(areas - 0.5).argmax())
    sign = 1.0 if areas[best] >= 0.5 else -1.0
    return f"column {best}", sign * test[:, best]
