"""The figures of a training, drawn into files: in the process beside the flow, where it has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flows.reporting import plots
from flows.reporting.budget import draw_budget

if TYPE_CHECKING:
    from dagmm_model.evaluation.what_if import WhatIf
    from dagmm_model.training.epochs import EpochLike


@dataclass(frozen=True)
class Drawn:
    """What the figures show.

    Attributes:
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

    energies: np.ndarray
    labels: np.ndarray | None
    threshold: float
    lines: Sequence[WhatIf]
    guaranteed_rate: float
    history: Sequence[EpochLike]
    weights: Mapping[str, float]
    effect: str
    latent: np.ndarray | None
    latent_labels: np.ndarray | None


def draw_figures(drawn: Drawn, folder: Path) -> None:
    """Draw every figure that there is something to show on."""
    figures = plots.at_threshold(drawn.energies, drawn.labels, drawn.threshold)
    if drawn.history:
        figures["losses"] = plots.loss_curves(drawn.history, drawn.weights, drawn.effect)
    if drawn.latent is not None:
        figures["latent"] = plots.latent_space(drawn.latent, drawn.latent_labels)
    figures["what_if"] = plots.what_if_curves(drawn.lines, drawn.guaranteed_rate)
    draw_budget(figures, folder)
