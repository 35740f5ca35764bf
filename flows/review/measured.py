"""Energies of some rows to figures at a threshold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dagmm_model.evaluation.metrics import (
    DeploymentMetrics,
    SliceMetrics,
    deployment_metrics,
    slice_metrics,
)


@dataclass(frozen=True)
class Measured:
    """Figures of some rows, with intervals.

    Attributes:
        deployment: Of all of them.
        slices: Of each value of the slice column; empty without one, or without labels.
    """

    deployment: DeploymentMetrics
    slices: tuple[SliceMetrics, ...]


def measure_threshold(
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
