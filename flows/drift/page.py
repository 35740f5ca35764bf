"""The page of one check: one file, which needs no network and no server."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dagmm_model.detectors.bundle import ScoringBundle
from data_checks.contract.sections import Drift
from data_checks.drift import ColumnDrift, ColumnReference, DriftReference
from flows.drift.comparison import DriftReport
from flows.drift.window import Window
from flows.reporting import html
from flows.reporting.plots import ACCENT, ANOMALY, NORMAL

SHOWN = 20
DETAILED = 6
_LONGEST = 40
COLOURS = {"stable": "#2e7d4f", "warning": "#b7791f", "critical": "#b83232"}
MARKS = {"stable": "✓ stable", "warning": "▲ warning", "critical": "● critical"}
TONES = {"stable": "good", "warning": "careful", "critical": "bad"}


@dataclass(frozen=True)
class History:
    """Figures of the checks so far: seconds since 1970 and value."""

    alerts: Sequence[tuple[float, float]]
    energy: Sequence[tuple[float, float]]
    drifted: Sequence[tuple[float, float]]


def render_page(
    report: DriftReport,
    window: Window,
    bundle: ScoringBundle,
    reference: DriftReference | None,
    limits: Drift,
    history: History,
) -> str:
    """HTML of a check."""
    rows, worst_first = int(report.figures["rows"]), list(COLOURS)[::-1]
    sentence = {
        "stable": "No drift: what differs is no more than chance, or too little to matter.",
        "warning": "Drift: look at it before it grows.",
        "critical": "Drift: the model sees other rows than it was trained on.",
    }.get(str(report.verdict), f"Not judged: {report.verdict}.")
    reasons = list(report.reasons[:5])
    if (more := len(report.reasons) - 5) > 0:
        reasons.append(f"and {more} more, below")
    ranking = moved = None
    if report.columns and reference is not None and window.counts is not None:
        ranking = _ranking(report.columns, limits)
        by_name = {column.name: column for column in reference.columns}
        strange = [by_name[c.column] for c in report.columns if c.verdict != "stable"][:DETAILED]
        moved = _details(strange, window) if strange else None
    return html.render(
        "drift.html",
        f"{report.model}: {report.verdict}",
        report=report,
        reference=reference,
        rows=rows,
        sentence=sentence,
        reasons=reasons,
        tones=TONES,
        marks=MARKS,
        findings=sorted(report.findings, key=lambda each: worst_first.index(each.verdict)),
        energies=_energies(window, bundle) if len(window.energies) else None,
        over_time=_over_time(history, report, limits) if len(history.alerts) > 1 else None,
        ranking=ranking,
        moved=moved,
    )


def _energies(window: Window, bundle: ScoringBundle) -> Figure:
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axis = figure.subplots()
    calm, now, threshold = bundle.calibration, window.energies, bundle.threshold.value
    low = min(np.quantile(calm, 0.001), np.quantile(now, 0.001))
    high = max(np.quantile(calm, 0.999), np.quantile(now, 0.99), threshold)
    margin = 0.03 * (high - low) or 1.0
    bins = np.linspace(low - margin, high + margin, 61)
    for values, colour, label in (
        (calm, NORMAL, f"held-out normal rows at training ({len(calm):,})"),
        (now, ANOMALY, f"this window ({len(now):,})"),
    ):
        shares = np.full(len(values), 1 / len(values))
        clipped = np.clip(values, bins[0], bins[-1])
        axis.hist(clipped, bins, weights=shares, color=colour, alpha=0.55, label=label)
    axis.axvline(threshold, color=ACCENT, linestyle="--", label=f"threshold {threshold:.3g}")
    axis.set(xlabel="energy (the first and last bin hold everything beyond)", ylabel="share")
    axis.legend(frameon=False, loc="upper right")
    axis.grid(alpha=0.2)
    return figure


def _ranking(columns: Sequence[ColumnDrift], limits: Drift) -> Figure:
    shown = sorted(columns, key=lambda c: -c.psi)[:SHOWN][::-1]
    figure = Figure(figsize=(10, 1.0 + 0.28 * len(shown)), layout="constrained")
    axis = figure.subplots()
    colours = [COLOURS[c.verdict] for c in shown]
    axis.barh(range(len(shown)), [c.psi for c in shown], color=colours)
    axis.set_yticks(range(len(shown)), [_drawn(c.column) for c in shown])
    for limit, name in ((limits.warning, "warning"), (limits.critical, "critical")):
        axis.axvline(limit, color=COLOURS[name], linestyle=":", label=f"{name} above {limit:g}")
    top = max([c.psi for c in shown] + [limits.critical * 1.2])
    axis.set(xlabel="population stability index", xlim=(0, top * 1.05))
    if top > 20 * limits.critical:
        axis.set_xscale("symlog", linthresh=limits.critical)
    if len(columns) > len(shown):
        axis.set_title(f"the {len(shown)} largest of {len(columns)}", fontsize=10, loc="left")
    axis.legend(frameon=False, loc="lower right")
    axis.grid(axis="x", alpha=0.2)
    return figure


def _details(columns: Sequence[ColumnReference], window: Window) -> Figure:
    assert window.counts is not None
    high = -(-len(columns) // 2)
    figure = Figure(figsize=(10, 3.1 * high), layout="constrained")
    axes = np.atleast_1d(figure.subplots(high, 2)).ravel()
    for axis, column in zip(axes, columns, strict=False):
        before, now = np.array(column.counts, float), np.asarray(window.counts[column.name], float)
        names = _bin_names(column)
        kept = np.flatnonzero((before + now) > 0)
        if len(kept) > 14:
            kept = np.sort(kept[np.argsort(-(before / before.sum() + now / now.sum())[kept])[:14]])
        at = np.arange(len(kept))
        axis.bar(at - 0.2, before[kept] / before.sum(), 0.4, color=NORMAL, label="training")
        axis.bar(at + 0.2, now[kept] / now.sum(), 0.4, color=ANOMALY, label="window")
        axis.set_xticks(at, [_drawn(names[i]) for i in kept], rotation=40, ha="right", fontsize=8)
        axis.set_title(_drawn(column.name), fontsize=10)
        axis.set_ylabel("share of the rows", fontsize=8)
        axis.grid(axis="y", alpha=0.2)
    for axis in axes[len(columns) :]:
        axis.axis("off")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def _drawn(name: str) -> str:
    """A name as a figure has room for it, and no formula, as Matplotlib reads between dollars."""
    return (name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…").replace("$", r"\$")


def _bin_names(column: ColumnReference) -> list[str]:
    if column.levels:
        names = list(column.levels)
    else:
        edges = [f"{edge:.4g}" for edge in column.edges]
        names = ["all values"] if not edges else [
            f"≤ {edges[0]}", *(f"to {edge}" for edge in edges[1:]), f"> {edges[-1]}"
        ]  # fmt: skip
    return [*names, "other level", "missing"]


def _over_time(history: History, report: DriftReport, limits: Drift) -> Figure:
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _line(left, history.alerts, history.drifted, "alert rate")
    if "alerts/calibrated" in report.figures:
        left.axhline(report.figures["alerts/calibrated"], color=ACCENT, linestyle=":")
    _line(right, history.energy, history.drifted, "PSI of the energies")
    right.axhline(limits.warning, color=COLOURS["warning"], linestyle=":")
    return figure


def _line(axis: Any, values: Sequence[tuple[float, float]], drifted: Any, title: str) -> None:
    times = [datetime.fromtimestamp(moment, UTC) for moment, _ in values]
    drifted_at = dict(drifted)
    axis.plot(times, [value for _, value in values], color=NORMAL, linewidth=1)
    colours = [ANOMALY if drifted_at.get(moment) else NORMAL for moment, _ in values]
    axis.scatter(times, [value for _, value in values], color=colours, s=22, zorder=3)
    axis.set_title(f"{title} (red: drift found)", fontsize=10)
    axis.set_ylim(bottom=0)
    axis.tick_params(axis="x", rotation=30, labelsize=8)
    axis.grid(alpha=0.2)
