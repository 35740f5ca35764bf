"""The page of a shadow: one file, which needs no network and no server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from matplotlib.figure import Figure

from flows.reporting import html
from flows.reporting.plots import ACCENT, ANOMALY, MAX_POINTS, NORMAL
from flows.shadow.agreement import Agreement
from flows.shadow.version import Version

REASONS = 20


def render(first: Version, candidate: Version, found: Agreement) -> str:
    """HTML of what was found so far."""
    title = f"{candidate.uri} in the shadow of {first.uri}"
    return html.document(title, _parts(title, first, candidate, found))


def _parts(title: str, first: Version, candidate: Version, found: Agreement) -> Iterator[str]:
    yield f"<h1>{html.text(title)}</h1>"
    yield html.quiet(f"{_when(found.began)} to {_when(found.ended)}")
    alone = found.only_first + found.only_second
    yield html.banner("", f"other alerts on {alone:,} of {found.rows:,} rows ({_share(found)})")
    yield html.table(
        ("", "rows"),
        [
            ("scored by both", f"{found.rows:,}"),
            ("alerts of both", f"{found.both:,}"),
            (f"alerts of {first.uri} only", f"{found.only_first:,}"),
            (f"alerts of {candidate.uri} only", f"{found.only_second:,}"),
            (f"refused by the contract of {candidate.uri} only", f"{found.refused:,}"),
            ("rank correlation of the energies", f"{found.rank_correlation:.4f}"),
        ],
        numbers=(1,),
    )
    for version, reasons in (
        (first, found.reasons_first),
        (candidate, found.reasons_second),
    ):
        if reasons:
            yield html.heading(f"Alerts of {version.uri} only, by their first reason")
            rows = [(name, f"{count:,}") for name, count in reasons.most_common(REASONS)]
            yield html.table(("column", "rows"), rows, numbers=(1,))
    if found.rows:
        yield html.heading("Energies")
        yield html.image(_energies(first, candidate, found), "energies of both")
        yield html.quiet("A point is a row, of a sample; the lines are the thresholds.")


def _energies(first: Version, candidate: Version, found: Agreement) -> Figure:
    x, y = found.sample[:, :MAX_POINTS]
    limits = first.bundle.threshold.value, candidate.bundle.threshold.value
    alone = (x > limits[0]) != (y > limits[1])
    figure = Figure(figsize=(6, 5), layout="constrained")
    axis = figure.subplots()
    for chosen, colour in ((~alone, NORMAL), (alone, ANOMALY)):
        axis.scatter(x[chosen], y[chosen], s=6, color=colour, alpha=0.5, linewidths=0)
    axis.axvline(limits[0], color=ACCENT, linewidth=1)
    axis.axhline(limits[1], color=ACCENT, linewidth=1)
    axis.set_xscale("symlog")
    axis.set_yscale("symlog")
    axis.set_xlabel(first.uri)
    axis.set_ylabel(candidate.uri)
    return figure


def _share(found: Agreement) -> str:
    return f"{found.disagreement:.2%}" if found.rows else "none yet"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC") if seconds else "-"
