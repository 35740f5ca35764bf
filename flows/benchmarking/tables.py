"""The tables of a benchmark, as values that Markdown and HTML are written from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dagmm_model.detectors.catalogue import CATALOGUE
from dagmm_model.evaluation.published import PUBLISHED
from flows.benchmarking.rows import REFERENCE
from flows.benchmarking.summary import LEVEL, Block, Line

TITLES = {
    ("paper", False): "Paper's protocol",
    ("paper", True): "Paper's protocol, identical rows on one side of the split",
    ("deployment", False): "Deployment protocol",
    ("deployment", True): "Deployment protocol, identical rows on one side of the split",
}
EXPLAINED = {
    "paper": "A random half of all rows, its anomalies removed, trains; the other half tests. As "
    "many test rows are flagged as there are anomalies among them: that uses the anomaly ratio of "
    "the test rows, which nobody has in production.",
    "deployment": "Train, validation and test rows; the threshold is the split-conformal quantile "
    "of held-out normal rows for 5 % false alarms; labels are touched by the evaluation only.",
}
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
        lines = [f"{'#' * level} {self.title}", ""]
        if self.note:
            lines += [self.note, ""]
        lines += [_row(self.header), "|" + "---|" * len(self.header), *map(_row, self.rows)]
        return "\n".join(lines) + "\n"


def _row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|").replace("\n", " ") for text in texts) + " |"


def title(block: Block) -> str:
    """Heading of a block."""
    return TITLES[block.protocol, block.grouped]


def overview(block: Block) -> Table:
    """One line for each detector, one column for each data set."""
    rows = [
        (label, *(_overview(block.line(dataset, label), block.main) for dataset in block.lines))
        for label in block.labels()
    ]
    marks = f"▲ ▼: better or worse than {REFERENCE} (signed-rank test over the splits, Holm-"
    note = (
        f"Mean ± standard deviation over random splits, their number in brackets. {marks}corrected "
        f"for all detectors of the data set, p ≤ {LEVEL}; fewer than six splits cannot show any)."
    )
    return Table(NAMES[block.main], ("", *block.lines), tuple(rows), note)


def _overview(line: Line | None, figure: str) -> str:
    if line is None:
        return NOTHING
    if not line.values:
        return f"failed ({len(line.reasons)})"
    failed = f", {len(line.reasons)} failed" if line.reasons else ""
    return f"{line.spreads[figure]} ({len(line.values)}{failed}) {line.mark}".rstrip()


def overviews(blocks: Sequence[Block]) -> str:
    """The overviews of all protocols as Markdown: what a terminal or a notice has room for."""
    return "\n".join(
        replace(overview(b), title=f"{title(b)}: {NAMES[b.main]}").markdown(2) for b in blocks
    )


def details(block: Block) -> Iterator[Table]:
    """All figures, times and tests, a table for each data set."""
    for dataset, lines in block.lines.items():
        shown = [n for n in NAMES if any(n in line.spreads for line in lines)]
        header = ("", *(NAMES[n] for n in shown), "fit s", "score s", "p", "p Holm", "splits")
        rows = [
            (
                line.label,
                *(str(line.spreads.get(name, NOTHING)) for name in shown),
                _number(line.seconds),
                _number(line.score_seconds),
                _number(line.p),
                _number(line.p_holm),
                str(len(line.values)),
            )
            for line in lines
            if line.values
        ]
        note = (
            "Times are medians, in processor seconds of one thread; "
            f"p against {REFERENCE} in {NAMES[block.main]}."
        )
        yield Table(f"All figures: {dataset}", header, tuple(rows), note)


def beside_published(block: Block) -> Table | None:
    """Our F1 and the published one, for every figure that is known; None where none applies."""
    rows = []
    for figure in PUBLISHED:
        if figure.dataset not in block.lines:
            continue
        ours = [
            line
            for line in block.lines[figure.dataset]
            if line.published is figure and "f1" in line.spreads
        ]
        source = figure.source + ("" if figure.checked else " (from memory)")
        source += f"; {figure.note}" if figure.note else ""
        for line in ours:
            f1 = line.spreads["f1"]
            gap = f"{f1.mean - figure.f1:+.3f}"
            mine = f"{f1} ({len(line.values)})"
            rows.append((line.label, figure.dataset, mine, f"{figure.f1:.4f}", gap, source))
        if figure.detector not in CATALOGUE:
            empty = (NOTHING, f"{figure.f1:.4f}", NOTHING)
            rows.append((figure.detector, figure.dataset, *empty, source))
    if not rows or block.protocol != "paper" or block.grouped:
        return None
    header = ("", "data set", "F1 here", "F1 published", "difference", "source")
    note = (
        "Published figures are of other splits and other code; those marked as from memory were "
        "not read in their source."
    )
    return Table("Beside published figures", header, tuple(rows), note)


def failures(blocks: Sequence[Block]) -> Table | None:
    """Every reason why cells have no figures."""
    rows = [
        (line.label, dataset, title(block), _seeds(line.reasons, reason), reason)
        for block in blocks
        for dataset, lines in block.lines.items()
        for line in lines
        for reason in dict.fromkeys(line.reasons.values())
    ]
    header = ("", "data set", "protocol", "seeds", "reason")
    return Table("Failed", header, tuple(rows)) if rows else None


def _seeds(reasons: dict[int, str], reason: str) -> str:
    return ", ".join(str(seed) for seed, said in sorted(reasons.items()) if said == reason)


def missing(places: Sequence[tuple[str, str, bool, int, str]]) -> Table | None:
    """What was planned and is not there: data set, protocol, grouping, seed, row."""
    counts = Counter((label, d, TITLES[p, g]) for d, p, g, _, label in places)
    rows = tuple((*place, str(count)) for place, count in counts.items())
    note = "The same command goes on with these."
    header = ("", "data set", "protocol", "splits")
    return Table("Not measured yet", header, rows, note) if rows else None


def markdown(blocks: Sequence[Block], plots: Sequence[str], facts: Sequence[str]) -> str:
    """The whole result as one Markdown text.

    Args:
        blocks: From `flows.benchmarking.summary.blocks`.
        plots: File names of the plots, relative to the text.
        facts: Sentences on machine, command and time.
    """
    parts = ["# Benchmark\n", "\n".join(f"- {fact}" for fact in facts) + "\n"]
    for block in blocks:
        parts.append(f"## {title(block)}\n\n{EXPLAINED[block.protocol]}\n")
        parts.append(overview(block).markdown(3))
        prefix = prefix_of(block)
        parts += [
            f"![{name}]({name})\n" for name in plots if name.rpartition("/")[2].startswith(prefix)
        ]
        if (table := beside_published(block)) is not None:
            parts.append(table.markdown(3))
        parts += [table.markdown(3) for table in details(block)]
    if (table := failures(blocks)) is not None:
        parts.append(table.markdown(2))
    return "\n".join(parts)


def prefix_of(block: Block) -> str:
    """Start of the file names of a block's plots."""
    return f"{block.protocol}{'-grouped' if block.grouped else ''}_"


def _number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"
