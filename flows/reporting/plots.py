"""Figures of a run; matplotlib's object interface, so that no global state is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dagmm_model.evaluation.threshold import exceeds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dagmm_model.evaluation.what_if import WhatIf
    from dagmm_model.training.epochs import EpochLike

NORMAL, ANOMALY, ACCENT = "#3b6ea5", "#c8553d", "#444444"
MAX_POINTS = 5000
SMALL = 2000
"""Test rows up to which their counts are drawn as they are, not their logarithm."""
MOST_MARKED = 200
AT_THRESHOLD = ("energies", "roc_precision_recall")
"""Names of the figures that a threshold changes."""
Curve = tuple[np.ndarray, np.ndarray]
HELD = "validation_"
"""Before the name of a loss: the same of the validation rows, as an epoch begins."""


def _figure(
    width: float, height: float, rows: int = 1, columns: int = 1, top: float = 0.45
) -> tuple[Figure, list[Any]]:
    """A figure and its axes; margins are given in inches, since looking for them takes longer."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    axes = figure.subplots(rows, columns, squeeze=False)
    left, right, bottom, gap = 0.75, 0.2, 0.55, 0.85
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=bottom / height,
        top=1 - top / height,
        hspace=gap * rows / (height - bottom - top - gap * (rows - 1)),
        wspace=gap * columns / (width - left - right - gap * (columns - 1)),
    )
    return figure, list(axes.flat)


def loss_curves(
    history: Sequence[EpochLike],
    weights: Mapping[str, float] | None = None,
    effect: str = "",
) -> Figure:
    """The objective with what each term contributes to it, and every term by itself.

    Args:
        history: Of the training.
        weights: Of the terms in the objective, which is the sum of their products; where none are
            given, the terms are drawn by themselves only.
        effect: What the training changed, in words.
    """
    curves = _curves(history)
    terms = [term for term in curves if not term.startswith(HELD)]
    parts = {t: w for t, w in (weights or {}).items() if t in curves and w and terms[0] == "total"}
    drawn = [*terms[:1], *(["contributions"] if parts else []), *terms[1:]]
    rows = -(-len(drawn) // 2)
    figure, axes = _figure(9, 0.4 + 2.8 * rows, rows, 2, top=0.75 if effect else 0.45)
    if effect:
        figure.suptitle(effect, fontsize=10, y=1 - 0.25 / (0.4 + 2.8 * rows))
    for axis, term in zip(axes, drawn, strict=False):
        if term == "contributions":
            _contributions(axis, curves, parts)
        else:
            _loss(axis, curves, term)
        axis.set_xlabel("epochs done")
        axis.grid(alpha=0.2)
    for axis in axes[len(drawn) :]:
        axis.set_axis_off()
    return figure


def _loss(axis: Any, curves: Mapping[str, Curve], term: str) -> None:
    epochs, values = curves[term]
    axis.plot(epochs, values, color=NORMAL, label="training")
    if HELD + term in curves:
        held, levels = curves[HELD + term]
        axis.plot(held, levels, "o-", markersize=3, color=ANOMALY, label="validation")
        if held[0] == 0:  # taken before the first step
            axis.axhline(
                levels[0], color=ACCENT, linewidth=0.8, linestyle=":", label="random weights"
            )
        axis.legend(frameon=False, fontsize=8)
    if (values > 0).all() and values.max() > 100 * values.min():
        axis.set_yscale("log")
    axis.set_title("total: what is minimised" if term == "total" else term, fontsize=10)


def _contributions(axis: Any, curves: Mapping[str, Curve], weights: Mapping[str, float]) -> None:
    """Each term times its weight, on top of each other: together they are the total."""
    epochs = curves[next(iter(weights))][0]
    values = [weight * curves[term][1] for term, weight in weights.items()]
    labels = [f"{weight:g} × {term}" for term, weight in weights.items()]
    colours = (NORMAL, ANOMALY, ACCENT)[: len(values)]
    if all((value >= 0).all() for value in values):
        axis.stackplot(epochs, values, labels=labels, colors=colours, alpha=0.7, linewidth=0)
    else:
        for value, label, colour in zip(values, labels, colours, strict=True):
            axis.plot(epochs, value, label=label, color=colour)
    axis.set_title("contributions, which add up to the total", fontsize=10)
    axis.legend(frameon=False, fontsize=8)


def _curves(history: Sequence[EpochLike]) -> dict[str, Curve]:
    """Of each loss the epochs in which it occurs, and its values."""
    points: dict[str, list[tuple[float, float]]] = {}
    for record in history:
        for term, value in record.terms.items():
            if "/" not in term:
                points.setdefault(term, []).append((record.epoch - 1, value))
    return {term: tuple(np.array(curve).T) for term, curve in points.items()}


def at_threshold(
    energies: np.ndarray, labels: np.ndarray | None, threshold: float
) -> dict[str, Figure]:
    """The figures that a threshold changes, by name."""
    first, second = AT_THRESHOLD
    figures = {first: energy_histogram(energies, labels, threshold)}
    if labels is not None and 0 < labels.sum() < len(labels):
        figures[second] = roc_and_precision_recall(labels, energies, threshold)
    return figures


def energy_histogram(energies: np.ndarray, labels: np.ndarray | None, threshold: float) -> Figure:
    """The test energies on both sides of the threshold; rows on the wrong side are marked."""
    figure, (axis,) = _figure(9, 4.5)
    low, high = np.quantile(energies, [0.0, 0.995])
    low, high = min(low, threshold), max(high, threshold)
    margin = 0.02 * (high - low) or 1.0
    bins = np.linspace(low - margin, high + margin, 60)
    clipped = np.clip(energies, bins[0], bins[-1])
    flagged = exceeds(energies, threshold)
    if labels is None:
        axis.hist(clipped, bins, color=NORMAL, label="unlabelled")
        title = f"{int(flagged.sum()):,} of {len(energies):,} rows above the threshold"
    else:
        axis.hist(clipped[~labels], bins, color=NORMAL, alpha=0.75, label="normal")
        axis.hist(clipped[labels], bins, color=ANOMALY, alpha=0.75, label="anomaly")
        wrong = (("missed", labels & ~flagged, ANOMALY), ("false alarm", ~labels & flagged, NORMAL))
        for name, which, colour in wrong:
            if 0 < which.sum() <= MOST_MARKED:
                at = clipped[which]
                height = np.full(len(at), -0.02)
                # Marks under the axis, whatever its scale.
                below: dict[str, Any] = {"transform": axis.get_xaxis_transform(), "clip_on": False}
                axis.plot(at, height, "^", color=colour, label=name, markersize=5, **below)
        title = (
            f"{int((labels & flagged).sum()):,} of {int(labels.sum()):,} anomalies found, "
            f"{int((~labels & flagged).sum()):,} of {int((~labels).sum()):,} normal rows flagged"
        )
    axis.axvline(threshold, color=ACCENT, linestyle="--", label=f"threshold {threshold:.3g}")
    if len(energies) > SMALL:
        axis.set_yscale("log")
    else:
        axis.yaxis.get_major_locator().set_params(integer=True)
    axis.set_title(title, fontsize=11)
    axis.set_xlabel("energy (the last bin holds everything beyond it)")
    axis.set_ylabel("test rows")
    axis.legend(frameon=False)
    return figure


def what_if_curves(lines: Sequence[WhatIf], current: float) -> Figure:
    """Recall and precision over the false-alarm rate, with their 95 % intervals."""
    figure, (axis,) = _figure(9, 4.0)
    for name, colour in (("recall", ANOMALY), ("precision", NORMAL), ("alert_rate", ACCENT)):
        having = [line for line in lines if getattr(line, name) is not None]
        if not having:
            continue
        rates = [line.guaranteed_rate for line in having]
        intervals = [getattr(line, name) for line in having]
        label = name.replace("_", " ")
        axis.plot(
            rates, [f.value for f in intervals], "o-", color=colour, markersize=4, label=label
        )
        axis.fill_between(
            rates, [f.low for f in intervals], [f.high for f in intervals], color=colour, alpha=0.15
        )
    axis.axvline(current, color=ACCENT, linestyle="--", linewidth=1, label="in use")
    axis.set_xscale("log")
    axis.minorticks_off()
    marked = sorted({line.guaranteed_rate for line in lines})
    axis.set_xticks(marked, [f"{rate:.3g}" for rate in marked])
    axis.set(xlabel="guaranteed false-alarm rate", ylabel="share", ylim=(-0.02, 1.02))
    axis.grid(alpha=0.2)
    axis.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
    return figure


def latent_space(latent: np.ndarray, labels: np.ndarray | None) -> Figure:
    """Latent rows z by label: first code against the reconstruction features, or its pairs."""
    figure, axes = _figure(9, 4.5, 1, 2)
    rng = np.random.default_rng(0)
    keep = np.sort(rng.permutation(len(latent))[:MAX_POINTS])
    z, marked = latent[keep], None if labels is None else labels[keep]
    pairs = [(0, z.shape[1] - 1), (0, min(1, z.shape[1] - 1))]
    for axis, (i, j) in zip(axes, pairs, strict=True):
        for value, colour, name in ((False, NORMAL, "normal"), (True, ANOMALY, "anomaly")):
            chosen = slice(None) if marked is None else marked == value
            if marked is None and value:
                continue
            axis.scatter(z[chosen, i], z[chosen, j], s=8, alpha=0.5, color=colour, label=name)
        axis.set_xlabel(f"z[{i}]")
        axis.set_ylabel(f"z[{j}]")
        axis.grid(alpha=0.2)
    figure.axes[0].legend(frameon=False)
    return figure


def roc_and_precision_recall(labels: np.ndarray, energies: np.ndarray, threshold: float) -> Figure:
    """ROC and precision-recall curves with the calibrated threshold marked on both."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    figure, (roc_axis, pr_axis) = _figure(9, 4.5, 1, 2)
    false_alarms, recall, _ = roc_curve(labels, energies)
    precision, pr_recall, _ = precision_recall_curve(labels, energies)
    flagged = exceeds(energies, threshold)
    hit = float(flagged[labels].mean())
    alarm = float(flagged[~labels].mean())
    exact = float(labels[flagged].mean()) if flagged.any() else 1.0
    roc_axis.plot(false_alarms, recall, color=NORMAL)
    roc_axis.plot([0, 1], [0, 1], color=ACCENT, linewidth=0.8, linestyle=":")
    roc_axis.plot(alarm, hit, "o", color=ANOMALY, label="calibrated threshold")
    _dress(roc_axis, "ROC", "false-alarm rate", "recall")
    pr_axis.step(pr_recall, precision, color=NORMAL, where="post")
    pr_axis.axhline(labels.mean(), color=ACCENT, linewidth=0.8, linestyle=":")
    pr_axis.plot(hit, exact, "o", color=ANOMALY, label="calibrated threshold")
    _dress(pr_axis, "Precision-recall", "recall", "precision")
    return figure


def _dress(axis: Any, title: str, x: str, y: str) -> None:
    axis.set(title=title, xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
    axis.grid(alpha=0.2)
    axis.legend(frameon=False, loc="lower center")
