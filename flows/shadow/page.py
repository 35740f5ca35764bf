"""The page of a shadow: one file, which needs no network and no server."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from flows.common.moments import minute
from flows.reporting import html
from flows.reporting.plots import ACCENT, ANOMALY, MAX_POINTS, NORMAL
from flows.shadow.agreement import Agreement
from flows.shadow.version import Version

REASONS = 20


def render_shadow(first: Version, candidate: Version, agreement: Agreement) -> str:
    """HTML of what was found so far."""
    title = f"{candidate.uri} in the shadow of {first.uri}"
    return html.document(title, _parts(title, first, candidate, agreement))


def _parts(title: str, first: Version, candidate: Version, agreement: Agreement) -> Iterator[str]:
    yield f"<h1>{html.text(title)}</h1>"
    yield html.quiet(f"{_when(agreement.began)} to {_when(agreement.ended)}")
    alone = agreement.only_first + agreement.only_second
    share = f"{agreement.disagreement:.2%}" if agreement.rows else "none yet"
    yield html.banner("", f"other alerts on {alone:,} of {agreement.rows:,} rows ({share})")
    yield html.table(
        ("", "rows"),
        [
            ("scored by both", f"{agreement.rows:,}"),
            ("alerts of both", f"{agreement.both:,}"),
            (f"alerts of {first.uri} only", f"{agreement.only_first:,}"),
            (f"alerts of {candidate.uri} only", f"{agreement.only_second:,}"),
            (f"refused by the contract of {candidate.uri} only", f"{agreement.refused:,}"),
            ("rank correlation of the energies", f"{agreement.rank_correlation:.4f}"),
        ],
        numbers=(1,),
    )
    for version, reasons in (
        (first, agreement.reasons_first),
        (candidate, agreement.reasons_second),
    ):
        if reasons:
            yield html.heading(f"Alerts of {version.uri} only, by their first reason")
            rows = [(name, f"{count:,}") for name, count in reasons.most_common(REASONS)]
            yield html.table(("column", "rows"), rows, numbers=(1,))
    if agreement.rows:
        yield html.heading("Energies")
        yield html.image(_energies(first, candidate, agreement), "energies of both")
        yield html.quiet("A point is a row, of a sample; the lines are the thresholds.")


def _energies(first: Version, candidate: Version, agreement: Agreement) -> Figure:
    x, y = agreement.sample[:, :MAX_POINTS]
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


def _when(seconds: float) -> str:
    return minute(seconds) if seconds else "-"
