"""Plots of a benchmark: critical differences, spread for each data set, time against figure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dagmm_model.evaluation.significance import average_ranks, cliques, critical_difference
from flows.benchmarking.entrants import REFERENCE, is_sanity
from flows.benchmarking.results.summary import LEVEL, Block, ResultLine
from flows.benchmarking.results.tables import NAMES
from flows.reporting.plots import ACCENT, ANOMALY, NORMAL

LINE_HEIGHT = 0.24


def plots(block: Block) -> Iterator[tuple[str, Figure]]:
    """File name and figure of everything there is to draw of a protocol."""
    prefix, figure_name = block.prefix, NAMES[block.main]
    ranked = block.ranked()
    if ranked is not None:
        yield f"{prefix}critical-difference.svg", critical_differences(*ranked, figure_name)
    if block.many_tables:  # a plot for each of its tables would be a book
        return
    for dataset, lines in block.lines.items():
        measured = [line for line in lines if line.values]
        if measured:
            yield f"{prefix}{dataset}.svg", spreads(dataset, measured, figure_name)
            yield f"{prefix}{dataset}-time.svg", time_against_figure(dataset, measured, figure_name)


def critical_differences(
    labels: list[str], figures: np.ndarray, what: str, figure_name: str
) -> Figure:
    """Average ranks, 1 = best; bars join what Nemenyi's test does not tell apart.

    Args:
        labels: Of the detectors.
        figures: ``(blocks, detectors)``, higher = better.
        what: What a block is, with their number.
        figure_name: What is ranked.
    """
    ranks = average_ranks(figures)
    order = np.argsort(ranks, kind="stable")
    sorted_ranks = ranks[order]
    difference = critical_difference(len(labels), len(figures), LEVEL)
    runs = cliques(sorted_ranks, difference)
    half = -(-len(labels) // 2)
    bars = 0.22 * (len(runs) + 1)
    figure = Figure(figsize=(10, 1.2 + bars + LINE_HEIGHT * half), layout="constrained")
    axis = figure.subplots()
    low, high = 1.0, float(len(labels))
    axis.set(xlim=(low - 0.45 * (high - low), high + 0.45 * (high - low)), yticks=[])
    axis.set_ylim(bars + LINE_HEIGHT * (half + 0.5), -0.75)
    axis.spines[:].set_visible(False)
    axis.xaxis.set_visible(False)
    axis.hlines(0, low, high, color=ACCENT)
    ticks = np.arange(low, high + 1, max(1, round((high - low) / 8)))
    axis.vlines(ticks, -0.07, 0, color=ACCENT)
    for tick in ticks:
        axis.text(tick, -0.12, f"{tick:.0f}", ha="center", va="bottom", fontsize=9)
    shown = min(difference, high - low)
    text = f"critical difference {difference:.2f}"
    if difference > high - low:
        text += ": wider than all ranks, nothing can be told apart"
    axis.hlines(-0.52, low, low + shown, color=ANOMALY, linewidth=2)
    axis.text(low, -0.57, text, ha="left", va="bottom", fontsize=9, color=ANOMALY)
    for i, (first, last) in enumerate(runs):
        y = 0.16 + 0.22 * i
        axis.hlines(y, sorted_ranks[first] - 0.08, sorted_ranks[last] + 0.08, color=ACCENT, lw=3)
    for place, which in enumerate(order):
        left = place < half
        y = bars + LINE_HEIGHT * (place if left else len(labels) - 1 - place) + 0.2
        side = -1 if left else 1
        edge = (low if left else high) + side * 0.03 * (high - low)
        colour = ANOMALY if labels[which] == REFERENCE else NORMAL
        axis.plot([ranks[which], ranks[which], edge], [0, y, y], color=colour, linewidth=0.8)
        name, rank = labels[which], f"{ranks[which]:.1f}"
        text = f"{name}  {rank}" if left else f"{rank}  {name}"
        edge_of_text = edge + side * 0.01 * (high - low)
        axis.text(edge_of_text, y, text, ha="right" if left else "left", va="center", fontsize=9)
    axis.set_title(f"Average rank in {figure_name}, {what}", fontsize=11)
    return figure


def spreads(dataset: str, lines: list[ResultLine], figure_name: str) -> Figure:
    """A box for each detector over its splits, a dot for one; the published figure as a diamond."""
    ordered = sorted(lines, key=lambda line: np.median(list(line.values.values())))
    figure = Figure(figsize=(9, 1.1 + LINE_HEIGHT * len(ordered)), layout="constrained")
    axis = figure.subplots()
    for place, line in enumerate(ordered):
        values = list(line.values.values())
        if len(values) > 1:
            axis.boxplot(
                values,
                positions=[place],
                orientation="horizontal",
                widths=0.6,
                patch_artist=True,
                boxprops={"facecolor": _colour(line.label), "alpha": 0.35, "linewidth": 0.8},
                medianprops={"color": ACCENT},
                flierprops={"markersize": 3},
            )
        else:
            axis.plot(values, [place], "o", color=_colour(line.label), markersize=5)
        if line.published is not None:
            axis.plot(line.published.f1, place, "D", color=ACCENT, markersize=5)
    axis.set_yticks(range(len(ordered)), [line.label for line in ordered], fontsize=8)
    axis.set_ylim(-0.7, len(ordered) - 0.3)
    if any(line.published is not None for line in ordered):
        axis.plot([], [], "D", color=ACCENT, markersize=5, label="published")
        axis.legend(frameon=False, loc="lower right", fontsize=8)
    axis.grid(axis="x", alpha=0.25)
    axis.set_title(f"{dataset}: {figure_name} over the splits", fontsize=11)
    return figure


def time_against_figure(dataset: str, lines: list[ResultLine], figure_name: str) -> Figure:
    """Median fitting time against the mean figure: the upper left is where one wants to be."""
    shown = [line for line in lines if line.seconds and not is_sanity(line.label)]
    points = [(line.label, line.seconds or 0.0, line.mean) for line in shown]
    figure = Figure(figsize=(9, 5), layout="constrained")
    axis = figure.subplots()
    axis.set_xscale("log")
    for label, seconds, value in points:
        axis.plot(seconds, value, "o", color=_colour(label), markersize=6)
    axis.margins(x=0.15, y=0.08)
    axis.autoscale_view()  # the names need the final limits
    _label(axis, points)
    axis.set_xlabel("processor seconds of fitting, one thread (median)")
    axis.set_ylabel(figure_name)
    axis.grid(alpha=0.25)
    axis.set_title(f"{dataset}: time against {figure_name}", fontsize=11)
    return figure


def _label(axis: Any, points: list[tuple[str, float, float]]) -> None:
    """Names beside their points, each moved down until it covers no point and no earlier one."""
    width, height = 0.0095, 0.032  # of a character, as shares of the axes
    to_axes = axis.transData + axis.transAxes.inverted()
    places = [to_axes.transform((x, y)) for _, x, y in points]
    occupied = [(x - 0.006, x + 0.006, y - 0.008) for x, y in places]  # text stands on its place
    for name, x, y in sorted(points, key=lambda point: -point[2]):
        point = to_axes.transform((x, y))
        left, top = point + (0.01, 0.008)
        right = left + width * len(name)
        while any(left < r and ln < right and abs(top - t) < height for ln, r, t in occupied):
            top -= height / 4
        occupied.append((left, right, top))
        axis.text(left, top, name, transform=axis.transAxes, fontsize=8)
        if point[1] - top > height:  # too far to be seen as its name
            line = {"color": NORMAL, "linewidth": 0.4, "transform": axis.transAxes}
            axis.plot([point[0], left], [point[1], top + 0.01], **line)


def _colour(label: str) -> Any:
    if is_sanity(label):
        return ACCENT
    return ANOMALY if label.partition(":")[0] == REFERENCE else NORMAL
