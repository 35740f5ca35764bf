"""Exponents and plots of what `scaling.py` measured.

A cost that grows with a power of what is varied is a line in a plot of logarithms; its slope is the
exponent. Where a cost levels off (a fixed part that few rows cannot hide), the slope between the
last two points is given as well as the slope of all.

    python benchmarks/speed/scaling_plots.py        # docs/results/scaling/*.svg, and the table
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from scaling import AXES, RESULTS, Point, read_points

FIGURES = {
    "epoch_processor_seconds": "processor s an epoch",
    "score_processor_us": "processor µs a scored row",
    "peak_mib": "peak memory, MiB",
}
NAMES = {
    "train-rows": "rows, in memory",
    "train-rows-streamed": "rows, streamed",
    "score-rows": "rows of `dagmm score`",
    "columns": "columns",
    "components": "components",
    "batch": "rows of a batch",
    "spark": "cores of Spark",
}


def lines(points: list[Point]) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Figure, preset, places and values of everything measured more than once on an axis."""
    presets = sorted({str(point.get("preset", "")) for point in points})
    for figure, preset in itertools.product(FIGURES, presets):
        mine = sorted(
            (point["x"], point[figure])
            for point in points
            if point.get("preset", "") == preset and point.get(figure)
        )
        if len(mine) > 1:
            x, y = np.array(mine, dtype=float).T
            yield figure, preset, x, y


def slopes(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Exponent of all points, and of the last two."""
    whole = np.polyfit(np.log(x), np.log(y), 1)[0]
    return float(whole), float(np.log(y[-1] / y[-2]) / np.log(x[-1] / x[-2]))


def plot(axis: str, points: list[Point], folder: Path) -> None:
    """One SVG for each axis."""
    drawn = list(lines(points))
    figures = list(dict.fromkeys(figure for figure, *_ in drawn))
    if not figures:
        return
    figure = Figure(figsize=(4 * len(figures), 3.2), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(figures)))
    for panel, name in zip(panels, figures, strict=True):
        for _, preset, x, y in (line for line in drawn if line[0] == name):
            label = f"{preset} x^{slopes(x, y)[0]:.2f}".strip()
            panel.loglog(x, y, "o-", label=label)
        panel.set(xlabel=NAMES[axis], ylabel=FIGURES[name])
        panel.legend(fontsize=7)
    figure.savefig(folder / f"{axis}.svg", metadata={"Date": None})


def main() -> None:
    """Draw every axis that has points; print the exponents as a table."""
    mpl.rcParams["svg.hashsalt"] = "scaling"
    print("| varied | from, to | preset | figure | first, last | exponent | last two |")
    print("|---|---|---|---|---|---|---|")
    for axis in AXES:
        points = read_points(axis, RESULTS)
        plot(axis, points, RESULTS)
        for figure, preset, x, y in lines(points):
            whole, last = slopes(x, y)
            print(f"| {NAMES[axis]} | {x[0]:,.0f}, {x[-1]:,.0f} | {preset} | {FIGURES[figure]} "
                  f"| {y[0]:g}, {y[-1]:g} | {whole:.2f} | {last:.2f} |")  # fmt: skip


if __name__ == "__main__":
    main()
