"""The page of a shadow: one file, which needs no network and no server."""

from matplotlib.figure import Figure

from flows.common.readable import minute
from flows.reporting import html
from flows.reporting.plots import ACCENT, ANOMALY, MAX_POINTS, NORMAL
from flows.shadow.agreement import Agreement
from flows.shadow.version import Version


def render_shadow(first: Version, candidate: Version, agreement: Agreement) -> str:
    """HTML of what was found so far."""
    return html.render(
        "shadow.html",
        f"{candidate.uri} in the shadow of {first.uri}",
        first=first,
        candidate=candidate,
        agreement=agreement,
        began=_when(agreement.began),
        ended=_when(agreement.ended),
        alone=agreement.only_first + agreement.only_second,
        share=f"{agreement.disagreement:.2%}" if agreement.rows else "none yet",
        energies=_energies(first, candidate, agreement) if agreement.rows else None,
    )


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
