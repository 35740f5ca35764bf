"""Which detector to train, where that is left to the data (`--detector auto`)."""

import time
import warnings
from typing import Any

from dagmm_model.detectors.catalogue import FAST, make_detector
from flows.common import progress
from flows.pipeline.ranking import Rankable, Ranking, rankable
from flows.stages.records import CandidateRecord, ChoiceRecord, JudgedRecord, SplitRecord
from flows.stages.run import TrainRun

DEFAULT = "dagmm"
"""What is trained where nothing can be measured."""


def choose_detector(run: TrainRun, rows: JudgedRecord, parts: SplitRecord) -> ChoiceRecord:
    """The detector of a training that leaves it to the data."""
    return best_of(rankable(run, rows, parts), run.config.seed)


def best_of(rows: Rankable, seed: int) -> ChoiceRecord:
    """Fit the quick detectors, and take the one of the best average precision.

    It is that of a table with as many anomalies among its rows as the split found: far fewer, as a
    rule, than among the rows that are ranked.

    Args:
        rows: Rows that neither calibrate nor judge.
        seed: Of everything that is drawn.
    """
    if not rows.measurable:
        return ChoiceRecord(
            detector=DEFAULT,
            measured=False,
            fitted_rows=0,
            normals=0,
            anomalies=len(rows.anomalous),
            reason=f"{rows.missing}: the recommended settings, which need no labels",
        )
    ranking = rows.ranking(seed)
    candidates = []
    with progress.bar("choosing") as show:
        for number, name in enumerate(FAST):
            show(number, len(FAST), name)
            candidates.append(_measured(name, seed, ranking))
        show(len(FAST), len(FAST), "")
    measured = [c for c in candidates if c.average_precision is not None]
    best = max(measured, key=lambda c: c.average_precision or 0.0, default=None)
    if best is None:
        reason = f"no candidate could be measured ({candidates[0].failed}): {DEFAULT} is trained"
    else:
        reason = (
            f"best average precision ({best.average_precision:.4f}) of {len(measured)} detectors "
            f"on {ranking.normals:,} held-out training rows and {ranking.anomalies:,} labelled "
            "anomalies that are not among the test rows"
        )
    return ChoiceRecord(
        detector=DEFAULT if best is None else best.name,
        measured=best is not None,
        fitted_rows=len(ranking.fitted),
        normals=ranking.normals,
        anomalies=ranking.anomalies,
        candidates=tuple(candidates),
        reason=reason,
    )


def _measured(name: str, seed: int, ranking: Ranking) -> CandidateRecord:
    """A candidate's figures; a failure of one does not leave out the others."""
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a candidate; that of the chosen comes with its fit
            energies = make_detector(name, seed=seed).fit(ranking.fitted).energy(ranking.ranked)
        precision, roc_auc = ranking.figures(energies)
        found: dict[str, Any] = {"average_precision": precision, "roc_auc": roc_auc}
    except Exception as error:  # a detector may fail in any way
        found = {"failed": f"{type(error).__name__}: {error}"[:500]}
    return CandidateRecord(name=name, seconds=time.perf_counter() - started, **found)
