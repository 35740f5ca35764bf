"""Which detector to train, where that is left to the data (`--detector auto`).

The choice is made on rows that neither calibrate nor judge: a part of the *training* rows that the
candidates are not fitted on, and the labelled anomalies that the split has set aside. The threshold
keeps its guarantee, because its rows took no part, and promotion judges on test rows that nobody
has chosen by.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from dagmm_model.detectors.catalogue import FAST, make_detector
from dagmm_model.tables.protocols import deployment_split, duplicate_groups
from data_checks.contract import Contract
from flows.common import progress
from flows.common.config import TrainConfig, keeps_duplicates_together
from flows.common.features import as_frame, encoder_for, labels_of, read_rows
from flows.common.records import CandidateRecord, ChoiceRecord, SplitRecord, ValidateRecord
from flows.pipeline.split import positions

DEFAULT = "dagmm"
"""What is trained where nothing can be measured."""
LEAST_ANOMALIES = 5
"""With fewer labelled anomalies an average precision is a game of chance."""
MOST_ROWS = 20_000
"""Most training rows that the candidates are fitted on, and most rows of each class they rank."""
FITTED = 0.8
"""Share of the training rows that the candidates are fitted on."""


def choose(
    contract: Contract, config: TrainConfig, validated: ValidateRecord, parts: SplitRecord
) -> ChoiceRecord:
    """Fit the quick detectors, and take the one of the best average precision.

    It is that of a table with as many anomalies among its rows as the split found: far fewer, as a
    rule, than among the rows that are ranked here.

    Args:
        contract: Decides the encoding.
        config: With the seed.
        validated: The valid rows.
        parts: The split; its validation and test rows are not read.
    """
    aside = _sampled(positions(parts, "set_aside"), config.seed)
    table = read_rows(validated.path, contract, aside)
    labels = labels_of(table)
    aside = aside[:0] if labels is None else aside[labels]
    if len(aside) < LEAST_ANOMALIES:
        return ChoiceRecord(
            detector=DEFAULT,
            measured=False,
            fitted_rows=0,
            normals=0,
            anomalies=len(aside),
            reason=f"{len(aside)} labelled anomalies outside the test rows, {LEAST_ANOMALIES} "
            "needed to choose by: the recommended settings, which need no labels",
        )
    rows = _sampled(positions(parts, "train"), config.seed, MOST_ROWS / FITTED)
    train = read_rows(validated.path, contract, rows)
    encoder = encoder_for(contract, train)
    normal = encoder.encode(as_frame(train))
    anomalous = encoder.encode(as_frame(read_rows(validated.path, contract, aside)))
    together = keeps_duplicates_together(config, contract)
    halves = deployment_split(
        np.zeros(len(normal), dtype=bool),
        config.seed,
        groups=duplicate_groups(normal) if together else None,
        fractions=(FITTED, (1 - FITTED) / 2, (1 - FITTED) / 2),
    )
    held = normal[np.concatenate([halves.validation, halves.test])]
    truth = np.repeat([False, True], [len(held), len(anomalous)])
    ranked = np.concatenate([held, anomalous])
    # As rare as in the table, whose anomalies are all here and whose normal rows are not.
    share = (parts.train_rows + parts.validation_rows) / parts.set_aside_rows
    weights = np.where(truth, 1.0, share * len(anomalous) / len(held))
    fitted = normal[halves.train]
    candidates = []
    with progress.bar("choosing") as show:
        for number, name in enumerate(FAST):
            show(number, len(FAST), name)
            candidates.append(_measured(name, config.seed, fitted, ranked, truth, weights))
        show(len(FAST), len(FAST), "")
    measured = [c for c in candidates if c.average_precision is not None]
    best = max(measured, key=lambda c: c.average_precision or 0.0, default=None)
    counts = {"fitted_rows": len(halves.train), "normals": len(held), "anomalies": len(anomalous)}
    if best is None:
        reason = f"no candidate could be measured ({candidates[0].failed}): {DEFAULT} is trained"
    else:
        reason = (
            f"best average precision ({best.average_precision:.4f}) of {len(measured)} detectors "
            f"on {len(held):,} held-out training rows and {len(anomalous):,} labelled anomalies "
            "that are not among the test rows"
        )
    return ChoiceRecord(
        detector=DEFAULT if best is None else best.name,
        measured=best is not None,
        candidates=tuple(candidates),
        reason=reason,
        **counts,
    )


def _measured(
    name: str,
    seed: int,
    train: np.ndarray,
    ranked: np.ndarray,
    truth: np.ndarray,
    weights: np.ndarray,
) -> CandidateRecord:
    """A candidate's figures; whatever goes wrong with one is no reason to leave out the others."""
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a candidate; that of the chosen comes with its fit
            energies = make_detector(name, seed=seed).fit(train).energy(ranked)
        precision = average_precision_score(truth, energies, sample_weight=weights)
        roc_auc = roc_auc_score(truth, energies)
    except Exception as error:  # a detector may fail in any way
        failed = f"{type(error).__name__}: {error}"[:500]
        return CandidateRecord(name=name, seconds=time.perf_counter() - started, failed=failed)
    return CandidateRecord(
        name=name,
        seconds=time.perf_counter() - started,
        average_precision=float(precision),
        roc_auc=float(roc_auc),
    )


def _sampled(rows: np.ndarray, seed: int, most: float = MOST_ROWS) -> np.ndarray:
    """At most so many of the positions, ascending."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, int(most), replace=False))
