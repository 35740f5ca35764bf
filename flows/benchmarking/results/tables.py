"""The tables of a benchmark, as values that Markdown and HTML are written from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dagmm_model.evaluation.published import SOURCE
from flows.benchmarking.entrants import REFERENCE, is_sanity
from flows.benchmarking.protocols import PROTOCOLS
from flows.benchmarking.results.league import means, ranks, standings, trainings
from flows.benchmarking.results.summary import LEVEL, Block, ResultLine
from flows.common.markdown import cell, inert

NAMES = {
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "ap": "average precision",
    "recall": "recall",
    "false_alarms": "false alarms",
}
NOTHING = "–"


@dataclass(frozen=True)
class Table:
    """A title, a sentence, a header and rows of text; the first column names the row."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self, level: int) -> str:
        """The table as GitHub shows it."""
        lines = [f"{'#' * level} {inert(self.title)}", ""]
        if self.note:
            lines += [inert(self.note), ""]
        lines += [_row(self.header), "|" + "---|" * len(self.header), *map(_row, self.rows)]
        return "\n".join(lines) + "\n"


def _row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(cell(text) for text in texts) + " |"


def protocol_title(protocol: str, grouped: bool) -> str:
    """Heading of a protocol."""
    kept = ", identical rows on one side of the split" if grouped else ""
    return PROTOCOLS[protocol].title + kept


def overview(block: Block) -> Table:
    """One line for each detector, one column for each data set."""
    if block.many_tables:
        return _wide_overview(block)
    rows = [
        (label, *(_overview(block.line(dataset, label), block.main) for dataset in block.lines))
        for label in block.labels()
    ]
    if PROTOCOLS[block.protocol].one_split:
        note = "Mean ± standard deviation over the detector's draws, their number in brackets."
        return Table(NAMES[block.main], ("", *block.lines), tuple(rows), note)
    marks = f"▲ ▼: better or worse than {REFERENCE} (signed-rank test over the splits, Holm-"
    note = (
        f"Mean ± standard deviation over random splits, their number in brackets. {marks}corrected "
        f"for all detectors of the data set, p ≤ {LEVEL}; fewer than six splits cannot show any)."
    )
    return Table(NAMES[block.main], ("", *block.lines), tuple(rows), note)


def _wide_overview(block: Block) -> Table:
    """The same for many tables: means only, and the mean and the mean rank over the tables."""
    columns = means(block)
    rank_of = ranks(columns)
    order = sorted(block.labels(), key=lambda x: (is_sanity(x), rank_of.get(x, float("inf"))))
    rows = [
        (
            label,
            f"{columns[label].mean():.3f}" if label in columns else NOTHING,
            _of(rank_of, label, 1),
            *(_short(block.line(dataset, label)) for dataset in block.lines),
        )
        for label in order
    ]
    seeds = {len(x.values) for xs in block.lines.values() for x in xs if x.values and not x.quoted}
    count = "–".join(str(n) for n in sorted({min(seeds), max(seeds)})) if seeds else "no"
    note = f"Means over {count} seeds; mean and mean rank over {_over(block)}."
    if any(line.quoted for lines in block.lines.values() for line in lines):
        note += f" Published: {SOURCE}."
    return Table(NAMES[block.main], ("", "mean", "mean rank", *block.lines), tuple(rows), note)


def _over(block: Block) -> str:
    """The tables of the means, in words."""
    compared = len(block.compared())
    less = "" if compared == len(block.lines) else f" of {len(block.lines)} that all share"
    return f"{compared} tables{less}"


def _short(line: ResultLine | None) -> str:
    if line is None:
        return NOTHING
    return f"{line.mean:.3f}" if line.values else f"failed ({len(line.reasons)})"


def over_the_tables(blocks: Sequence[Block], protocol: str, grouped: bool) -> list[Table]:
    """Of a protocol for suites: means and mean ranks, and whether training helps; else nothing."""
    mine = [block for block in blocks if (block.protocol, block.grouped) == (protocol, grouped)]
    return [table for table in (_standings(mine), _trainings(mine)) if table is not None]


def _standings(blocks: Sequence[Block]) -> Table | None:
    """Means and mean ranks over the tables."""
    lines = standings(blocks)
    if not lines:
        return None
    figures = [block.main for block in blocks]
    header = ("", *(f"{what}{NAMES[f]}" for f in figures for what in ("", "mean rank in ")))
    rows = tuple(
        (x.detector, *(text for f in figures for text in (_of(x.means, f, 3), _of(x.ranks, f, 1))))
        for x in lines
    )
    note = f"Means over {lines[0].tables} tables; ranks among the detectors shown."
    return Table("Over the tables", header, rows, note)


def _of(values: Mapping[str, float], name: str, digits: int) -> str:
    return f"{values[name]:.{digits}f}" if name in values else NOTHING


def _trainings(blocks: Sequence[Block]) -> Table | None:
    """Trained against untrained over the tables; None where nothing was measured both ways."""
    rows = tuple(
        (
            x.detector,
            NAMES[x.figure],
            f"{x.trained:.3f}",
            f"{x.untrained:.3f}",
            f"{x.trained - x.untrained:+.3f}",
            f"{x.better} / {x.worse}",
            number(x.p),
            str(x.tables),
        )
        for x in trainings(blocks)
    )
    header = ("", "figure", "trained", "untrained", "difference", "better / worse", "p", "tables")
    note = "p: Wilcoxon's signed-rank test, two-sided, over the tables' means."
    return Table("Does training earn its place?", header, rows, note) if rows else None


def _overview(line: ResultLine | None, figure: str) -> str:
    if line is None or not line.values:
        return _short(line)
    failed = f", {len(line.reasons)} failed" if line.reasons else ""
    return f"{line.spreads[figure]} ({len(line.values)}{failed}) {line.mark}".rstrip()


def number(value: float | None) -> str:
    """Two digits that count; a dash for none."""
    if value is None:
        return NOTHING
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"
