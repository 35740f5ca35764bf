"""From cells to the lines of the tables: spread, times, significance, the published figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from dagmm_model.evaluation.published import Published, published
from dagmm_model.evaluation.significance import holm, signed_rank_p
from flows.benchmarking.cells import FIGURES, Cell, current
from flows.benchmarking.rows import REFERENCE, is_sanity

DATASETS = ("kddcup", "thyroid", "arrhythmia", "kddcup_rev", "wdbc")
"""The data sets that come with a contract, in the order of the tables."""
MAIN = {"paper": "f1", "deployment": "ap"}
"""The figure by which detectors are ranked and compared; the deployment protocol's F1 hangs on the
threshold of a few validation rows, average precision does not."""
LEVEL = 0.05


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation; the latter is None for a single value."""

    mean: float
    sd: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Spread of at least one value."""
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if values[1:] else None)

    def __str__(self) -> str:
        sd = "" if self.sd is None else f" ± {self.sd:.3f}"
        return f"{self.mean:.3f}{sd}"


@dataclass(frozen=True)
class Line:
    """One detector on one data set.

    Attributes:
        label: Of the row.
        values: Main figure by seed.
        spreads: Figures by name, those that were measured.
        seconds: Median time of fitting, or None.
        score_seconds: Median time of scoring the test rows, or None.
        reasons: Why cells failed, by seed.
        p: Signed-rank p-value against the reference over the seeds both have, or None.
        p_holm: The same, corrected for all detectors of the data set.
        better: Whether its median paired difference to the reference is positive.
        published: The published figure, by the paper's protocol only.
    """

    label: str
    values: dict[int, float]
    spreads: dict[str, Spread]
    seconds: float | None
    score_seconds: float | None
    reasons: dict[int, str]
    p: float | None = None
    p_holm: float | None = None
    better: bool = False
    published: Published | None = None

    @property
    def mark(self) -> str:
        """▲ or ▼ where it is better or worse than the reference beyond chance."""
        if self.p_holm is None or self.p_holm > LEVEL:
            return ""
        return "▲" if self.better else "▼"

    def facts(self) -> dict[str, Any]:
        """The line for a program to read."""
        return {
            "detector": self.label,
            "splits": len(self.values),
            "figures": {name: asdict(spread) for name, spread in self.spreads.items()},
            "fit_seconds": self.seconds,
            "score_seconds": self.score_seconds,
            "p": self.p,
            "p_holm": self.p_holm,
            "published": self.published and asdict(self.published),
            "failed": self.reasons,
        }


@dataclass(frozen=True)
class Block:
    """All lines of a protocol, by data set, best first."""

    protocol: str
    grouped: bool
    lines: dict[str, list[Line]]

    @property
    def main(self) -> str:
        """Name of the figure that is compared."""
        return MAIN[self.protocol]

    def facts(self) -> list[dict[str, Any]]:
        """All lines for a program to read."""
        where = {"protocol": self.protocol, "group_duplicates": self.grouped}
        return [{"dataset": d} | where | x.facts() for d, xs in self.lines.items() for x in xs]

    def line(self, dataset: str, label: str) -> Line | None:
        """The line of a detector on a data set."""
        return next((line for line in self.lines[dataset] if line.label == label), None)

    def labels(self) -> list[str]:
        """Labels of all rows: detectors by their mean rank, then the rows to judge them by."""
        places: dict[str, list[float]] = {}
        for lines in self.lines.values():
            for place, line in enumerate(lines):
                places.setdefault(line.label, []).append(place / len(lines))
        return sorted(places, key=lambda label: (is_sanity(label), np.mean(places[label]), label))

    def ranked(self) -> tuple[list[str], np.ndarray, str] | None:
        """Detectors measured throughout, their figures ``(blocks, detectors)``, what a block is.

        Blocks are the data sets on which the reference was measured - all where it was on none -
        each with its means. With a single data set they are its splits. None where there are not
        two detectors.
        """
        found = {d: [line for line in ls if line.values] for d, ls in self.lines.items()}
        found = {d: ls for d, ls in found.items() if ls}
        having = {d: ls for d, ls in found.items() if any(x.label == REFERENCE for x in ls)}
        found = having or found
        if not found:
            return None
        named = [{x.label: x for x in ls if not is_sanity(x.label)} for ls in found.values()]
        labels = [label for label in named[0] if all(label in other for other in named)]
        if len(labels) < 2:
            return None
        if len(named) > 1:
            means = [[np.mean(list(n[x].values.values())) for x in labels] for n in named]
            return labels, np.array(means), f"{len(means)} data sets"
        seeds = sorted(set.intersection(*(set(named[0][label].values) for label in labels)))
        if not seeds:
            return None
        splits = [[named[0][label].values[seed] for label in labels] for seed in seeds]
        return labels, np.array(splits), f"{len(seeds)} splits of {next(iter(found))}"


def blocks(cells: Sequence[Cell]) -> list[Block]:
    """Everything that is known, the paper's protocol first."""
    cells = current(cells)
    kinds = sorted({(c.protocol, c.grouped) for c in cells}, key=lambda k: (k[0] != "paper", k[1]))
    return [_block(protocol, grouped, cells) for protocol, grouped in kinds]


def _block(protocol: str, grouped: bool, cells: Sequence[Cell]) -> Block:
    mine = [c for c in cells if (c.protocol, c.grouped) == (protocol, grouped)]
    present = {c.dataset for c in mine}
    ordered = [d for d in DATASETS if d in present] + sorted(present - set(DATASETS))
    lines = {d: _lines(protocol, grouped, [c for c in mine if c.dataset == d]) for d in ordered}
    return Block(protocol, grouped, lines)


def _lines(protocol: str, grouped: bool, cells: Sequence[Cell]) -> list[Line]:
    """Lines of one data set, best first."""
    labels = list(dict.fromkeys(c.detector for c in cells))
    lines = [_line([c for c in cells if c.detector == label], MAIN[protocol]) for label in labels]
    lines = _compared(lines)
    if protocol == "paper" and not grouped:
        lines = [replace(line, published=_published(line.label, cells)) for line in lines]
    return sorted(lines, key=lambda line: -np.mean(list(line.values.values()) or [-1.0]))


def _published(label: str, cells: Sequence[Cell]) -> Published | None:
    """The published figure of a detector, whatever its preset here."""
    name = label.partition(":")[0]
    return None if is_sanity(label) else published(name, cells[0].dataset)


def _line(cells: Sequence[Cell], main: str) -> Line:
    good = [c for c in cells if not c.reason]
    times = [c.seconds for c in good if c.seconds is not None]
    scoring = [c.score_seconds for c in good if c.score_seconds is not None]
    columns = {name: [getattr(c, name) for c in good] for name in FIGURES}
    return Line(
        label=cells[0].detector,
        values={c.seed: getattr(c, main) for c in good},
        spreads={n: Spread.of(v) for n, v in columns.items() if v and None not in v},
        seconds=median(times) if times else None,
        score_seconds=median(scoring) if scoring else None,
        reasons={c.seed: c.reason for c in cells if c.reason},
    )


def _compared(lines: list[Line]) -> list[Line]:
    """Lines with their p-values against the reference; the rows to judge by are no baselines."""
    reference = next((line for line in lines if line.label == REFERENCE), None)
    if reference is None:
        return lines
    found: dict[str, tuple[float, bool]] = {}
    for line in lines:
        seeds = sorted(set(line.values) & set(reference.values))
        if seeds and line is not reference and not is_sanity(line.label):
            pairs = np.array([(line.values[s], reference.values[s]) for s in seeds])
            better = bool(np.median(pairs[:, 0] - pairs[:, 1]) > 0)
            found[line.label] = (signed_rank_p(*pairs.T), better)
    corrected = dict(zip(found, holm([p for p, _ in found.values()]), strict=True))
    return [
        replace(
            line,
            p=found[line.label][0],
            p_holm=float(corrected[line.label]),
            better=found[line.label][1],
        )
        if line.label in found
        else line
        for line in lines
    ]
