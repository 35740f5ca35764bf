"""The figures of a training, drawn into files: in the process beside the flow, where it has one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dagmm_model.evaluation.what_if import WhatIf
from dagmm_model.training.epochs import EpochLike
from flows.reporting import plots
from flows.reporting.budget import draw_budget


def draw_figures(
    folder: Path,
    *,
    energies: np.ndarray,
    labels: np.ndarray | None,
    threshold: float,
    lines: Sequence[WhatIf],
    guaranteed_rate: float,
    history: Sequence[EpochLike],
    weights: Mapping[str, float],
    effect: str,
    latent: np.ndarray | None,
    latent_labels: np.ndarray | None,
) -> None:
    """Draw every figure that there is something to show on.

    Args:
        folder: That receives the files.
        energies: Of the test rows, shape ``(n,)``.
        labels: True for anomalies among them; None without labels.
        threshold: Energy above which a row is an anomaly.
        lines: What other thresholds would do.
        guaranteed_rate: False-alarm rate in use.
        history: Of the training; empty for a detector without epochs.
        weights: Of the terms in the objective.
        effect: What the training changed, in words.
        latent: Latent rows, shape ``(k, d)``; None of a detector without any.
        latent_labels: Labels of those rows.
    """
    figures = plots.at_threshold(energies, labels, threshold)
    if history:
        figures["losses"] = plots.loss_curves(history, weights, effect)
    if latent is not None:
        figures["latent"] = plots.latent_space(latent, latent_labels)
    figures["what_if"] = plots.what_if_curves(lines, guaranteed_rate)
    draw_budget(figures, folder)
