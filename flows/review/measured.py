"""Energies of some rows to figures at a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from dagmm_model.evaluation.metrics import (
    DeploymentMetrics,
    SliceMetrics,
    deployment_metrics,
    slice_metrics,
)
from data_checks.contract.model import load_contract
from flows.common.features import labels_of
from flows.promotion.version import evidence as bound
from flows.promotion.version.stored_version import StoredVersion


@dataclass(frozen=True)
class Measured:
    """Figures of some rows, with intervals.

    Attributes:
        deployment: Of all of them.
        slices: Of each value of the slice column; empty without one, or without labels.
    """

    deployment: DeploymentMetrics
    slices: tuple[SliceMetrics, ...]


def measure(
    energies: np.ndarray,
    labels: np.ndarray | None,
    slices: Sequence[object] | None,
    threshold: float,
) -> Measured:
    """Measure what a threshold does with rows whose energies are known.

    Args:
        energies: float64 of shape ``(rows,)``.
        labels: True for anomalies, shape ``(rows,)``; None without labels.
        slices: Slice value of each row, or None.
        threshold: Rows above it are flagged.
    """
    by_slice: tuple[SliceMetrics, ...] = ()
    if slices is not None and labels is not None:
        by_slice = slice_metrics(slices, labels, energies, threshold)
    return Measured(deployment_metrics(labels, energies, threshold), by_slice)


def recorded(stored: StoredVersion) -> tuple[np.ndarray, np.ndarray | None, list[object] | None]:
    """Energies, labels and slices of the kept evaluation rows."""
    rows = pq.read_table(stored.files / bound.ROWS)
    energies = pq.read_table(stored.files / bound.ENERGIES, columns=["energy"])
    column = load_contract(stored.files / bound.CONTRACT).slice_column
    slices = rows.column(column).to_pylist() if column in rows.column_names else None
    return energies.column("energy").to_numpy(), labels_of(rows), slices
