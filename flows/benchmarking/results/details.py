"""Tables behind a benchmark's overviews: all figures, published ones, failures, what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from dagmm_model.detectors.catalogue import CATALOGUE
from dagmm_model.evaluation.published import published_figures
from flows.benchmarking.entrants import REFERENCE
from flows.benchmarking.results.summary import Block
from flows.benchmarking.results.tables import NAMES, NOTHING, Table, number, protocol_title


def details(block: Block) -> Iterator[Table]:
    """All figures, times and tests, a table for each data set."""
    for dataset, lines in block.lines.items():
        shown = [n for n in NAMES if any(n in line.spreads for line in lines)]
        header = ("", *(NAMES[n] for n in shown), "fit s", "score s", "p", "p Holm", "splits")
        rows = [
            (
                line.label,
                *(str(line.spreads.get(name, NOTHING)) for name in shown),
                number(line.seconds),
                number(line.score_seconds),
                number(line.p),
                number(line.p_holm),
                str(len(line.values)),
            )
            for line in lines
            if line.values and not line.quoted
        ]
        note = (
            "Times are medians, in processor seconds of one thread; "
            f"p against {REFERENCE} in {NAMES[block.main]}."
        )
        yield Table(f"All figures: {dataset}", header, tuple(rows), note)


def published_table(block: Block) -> Table | None:
    """Our F1 and the published one, for every figure of this protocol; None where there is none.

    A published method that is not in the catalogue is shown next to the reference.
    """
    rows = []
    for figure in published_figures():
        if figure.dataset not in block.lines or figure.protocol != block.protocol:
            continue
        known = figure.detector in CATALOGUE
        ours = [
            line
            for line in block.lines[figure.dataset]
            if "f1" in line.spreads
            and (line.published is figure if known else line.label == REFERENCE)
        ]
        source = figure.source + ("" if figure.checked else " (from memory)")
        for line in ours:
            f1 = line.spreads["f1"]
            gap = f"{f1.mean - figure.f1:+.3f}"
            label = line.label if known else f"{line.label} against {figure.detector}"
            mine = f"{f1} ({len(line.values)})"
            rows.append((label, figure.dataset, mine, f"{figure.f1:.4f}", gap, source))
    if not rows or block.grouped:
        return None
    header = ("", "data set", "F1 here", "F1 published", "difference", "source")
    note = (
        "Published figures are of other code, and of other splits where these are random; those "
        "marked as from memory were not read in their source."
    )
    return Table("Beside published figures", header, tuple(rows), note)


def failures(blocks: Sequence[Block]) -> Table | None:
    """Every reason why cells have no figures."""
    rows = [
        (
            line.label,
            dataset,
            protocol_title(block.protocol, block.grouped),
            ", ".join(str(seed) for seed, why in sorted(line.reasons.items()) if why == reason),
            reason,
        )
        for block in blocks
        if block.leads
        for dataset, lines in block.lines.items()
        for line in lines
        for reason in dict.fromkeys(line.reasons.values())
    ]
    header = ("", "data set", "protocol", "seeds", "reason")
    return Table("Failed", header, tuple(rows)) if rows else None


def missing_cells(places: Sequence[tuple[str, str, bool, int, str]]) -> Table | None:
    """What was planned and is not there: data set, protocol, grouping, seed, row."""
    counts = Counter((label, d, protocol_title(p, g)) for d, p, g, _, label in places)
    rows = tuple((*place, str(count)) for place, count in counts.items())
    note = "The same command measures them."
    header = ("", "data set", "protocol", "splits")
    return Table("Not measured yet", header, rows, note) if rows else None
