"""The page that ends `dagmm verdicts`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flows.reporting.terminal import Entry, as_sheet
from flows.verdicts.estimates import Live

if TYPE_CHECKING:
    from flows.intake.import_file import VerdictReport


@as_sheet
def verdicts_report(verdicts: VerdictReport) -> Iterator[Entry]:
    """What was taken, what holds, and how good the version is on live rows."""
    yield "Model", verdicts.model
    if (intake := verdicts.intake) is not None:
        known = intake.given - intake.added
        parts = [f"{intake.added:,} added"]
        parts += [f"{known:,} known before"] if known else []
        parts += [f"{intake.empty:,} lines without one"] if intake.empty else []
        yield "Verdicts", f"{intake.given:,} in {intake.source}: {', '.join(parts)}"
    counts = ", ".join(f"{rows:,} {word}" for word, rows in verdicts.holds.items())
    yield "Rows", f"{sum(verdicts.holds.values()):,} judged: {counts}"
    yield from seen_figures(verdicts.live)


def seen_figures(live: Live) -> Iterator[tuple[str, str]]:
    """How good a version is on live rows, as far as people have looked at them."""
    if live.precision is None:
        yield "Precision", "not measured: nobody has judged an alert of this version"
    else:
        yield "Precision", f"{live.precision.text()} of {live.judged_alerts:,} judged alerts"
    if live.recall is not None:
        batches = f"{live.reviews:,} batch" + ("es" if live.reviews != 1 else "")
        yield (
            "Recall",
            f"{live.recall.text()}, estimated: {live.missed:,} of {live.drawn:,} rows drawn below "
            f"the threshold of {batches} are anomalies",
        )
    else:
        yield "Recall", "not measured: score with --review 20, and judge the rows drawn"
