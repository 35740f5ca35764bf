"""From cells to the lines of the tables: spread, times, significance, the published figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from dagmm_model.evaluation.published import Figures, Published, published
from dagmm_model.evaluation.significance import holm, signed_rank_p
from flows.benchmarking.cells import FIGURES, Cell, current
from flows.benchmarking.entrants import REFERENCE, is_sanity
from flows.benchmarking.protocols import PROTOCOLS
from flows.benchmarking.suite import plain_name

DATASETS = ("kddcup", "thyroid", "arrhythmia", "kddcup_rev", "wdbc")
"""The data sets that come with a contract, in the order of the tables."""
LEVEL = 0.05
NO_FIGURES: Mapping[str, Figures] = MappingProxyType({})


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
class ResultLine:
    """One detector on one data set.

    Attributes:
        values: Main figure by seed.
        spreads: Figures by name, those that were measured.
        seconds: Median time of fitting, or None.
        score_seconds: Median time of scoring the test rows, or None.
        reasons: Why cells failed, by seed.
        p: Signed-rank p-value against the reference over the seeds both have, or None.
        p_holm: The same, corrected for all detectors of the data set.
        better: Whether its median paired difference to the reference is positive.
        published: The published figure, by the paper's protocol only.
        quoted: Whether the line itself is a published figure, not measured here.
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
    quoted: bool = False

    @property
    def mean(self) -> float:
        """Mean of the main figure; of a line with values."""
        return float(np.mean(list(self.values.values())))

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
    """All lines of a protocol, by data set, best first by the figure that is compared."""

    protocol: str
    grouped: bool
    main: str
    lines: dict[str, list[ResultLine]]

    @property
    def many_tables(self) -> bool:
        """Whether it is of a protocol for suites."""
        return PROTOCOLS[self.protocol].many_tables

    @property
    def leads(self) -> bool:
        """Whether it is the first of its protocol's blocks, one for each figure."""
        return self.main == PROTOCOLS[self.protocol].figures[0]

    @property
    def prefix(self) -> str:
        """Start of the file names of its plots."""
        figure = f"-{self.main}" if self.many_tables else ""
        return f"{self.protocol}{'-grouped' if self.grouped else ''}{figure}_"

    def facts(self) -> list[dict[str, Any]]:
        """All measured lines for a program to read."""
        where = {"protocol": self.protocol, "group_duplicates": self.grouped, "compared": self.main}
        measured = [
            (d, line) for d, lines in self.lines.items() for line in lines if not line.quoted
        ]
        return [{"dataset": dataset} | where | line.facts() for dataset, line in measured]

    def line(self, dataset: str, label: str) -> ResultLine | None:
        """The line of a detector on a data set."""
        return next((line for line in self.lines[dataset] if line.label == label), None)

    def labels(self) -> list[str]:
        """Labels of all rows: detectors by their mean rank, then the rows to judge them by."""
        places: dict[str, list[float]] = {}
        for lines in self.lines.values():
            for place, line in enumerate(lines):
                places.setdefault(line.label, []).append(place / len(lines))
        return sorted(places, key=lambda label: (is_sanity(label), np.mean(places[label]), label))

    def compared(self) -> list[str]:
        """The data sets that detectors are compared over.

        Those with published lines where there are any, of these those on which the reference was
        measured - all where it was on none.
        """
        quoted = [d for d, ls in self.lines.items() if any(x.quoted for x in ls)]
        measured = [
            d for d in quoted or self.lines if any(x.values and not x.quoted for x in self.lines[d])
        ]
        having = [d for d in measured if (x := self.line(d, REFERENCE)) is not None and x.values]
        return having or measured

    def means(self, datasets: Iterable[str]) -> pd.DataFrame:
        """Means of the main figure, a row for each data set, a column for each label."""
        return pd.DataFrame(
            [{line.label: line.mean for line in self.lines[d] if line.values} for d in datasets]
        )

    def ranked(self) -> tuple[list[str], np.ndarray, str] | None:
        """Detectors measured throughout, their figures ``(blocks, detectors)``, what a block is.

        Blocks are the data sets that are `compared`, each with its means. With a single data set
        they are its splits. None where there are not two detectors.
        """
        datasets = self.compared()
        if len(datasets) == 1:
            measured = [x for x in self.lines[datasets[0]] if x.values and not x.quoted]
            splits = {x.label: x.values for x in measured if not is_sanity(x.label)}
            table, what = pd.DataFrame(splits).dropna().sort_index(), f"splits of {datasets[0]}"
        else:
            table, what = self.means(datasets).dropna(axis=1), "data sets"
        labels = [label for label in table if not is_sanity(label)]
        if len(labels) < 2 or table.empty:
            return None
        return labels, table[labels].to_numpy(), f"{len(table)} {what}"


def blocks(cells: Sequence[Cell], published: Mapping[str, Figures] = NO_FIGURES) -> list[Block]:
    """Everything that is known, protocol by protocol, a block for each figure that is compared."""
    cells = current(cells)
    order = list(PROTOCOLS)
    kinds = sorted({(c.protocol, c.grouped) for c in cells}, key=lambda k: (order.index(k[0]), k))
    return [
        _block(protocol, grouped, main, cells, published)
        for protocol, grouped in kinds
        for main in PROTOCOLS[protocol].figures
    ]


def _block(
    protocol: str,
    grouped: bool,
    main: str,
    cells: Sequence[Cell],
    published: Mapping[str, Figures],
) -> Block:
    mine = [c for c in cells if (c.protocol, c.grouped) == (protocol, grouped)]
    measured = {c.dataset for c in mine}
    ordered = [d for d in DATASETS if d in measured] + sorted(measured - set(DATASETS))
    quoted = published if PROTOCOLS[protocol].has_published else NO_FIGURES
    lines = {}
    for d in ordered:
        figures = quoted.get(plain_name(d), {})
        lines[d] = _lines(protocol, grouped, main, [c for c in mine if c.dataset == d], figures)
    return Block(protocol, grouped, main, lines)


def _lines(
    protocol: str, grouped: bool, main: str, cells: Sequence[Cell], quoted: Figures
) -> list[ResultLine]:
    """Lines of one data set, best first."""
    labels = dict.fromkeys(c.detector for c in cells)
    lines = [_line([c for c in cells if c.detector == label], main) for label in labels]
    if not PROTOCOLS[protocol].one_split:
        lines = _compared(lines)
    if protocol == "paper" and not grouped:
        lines = [replace(line, published=_published(line.label, cells)) for line in lines]
    lines += [
        _quoted(method, figures, main) for method, figures in quoted.items() if main in figures
    ]
    return sorted(lines, key=lambda line: -line.mean if line.values else 1.0)


def _quoted(method: str, figures: Mapping[str, float], main: str) -> ResultLine:
    """The line of a published method."""
    spreads = {name: Spread(value, None) for name, value in figures.items()}
    label = f"{method} (published)"
    return ResultLine(label, {0: figures[main]}, spreads, None, None, {}, quoted=True)


def _published(label: str, cells: Sequence[Cell]) -> Published | None:
    """The published figure of a detector, whatever its preset here."""
    name = label.partition(":")[0]
    return None if is_sanity(label) else published(name, cells[0].dataset)


def _line(cells: Sequence[Cell], main: str) -> ResultLine:
    good = [c for c in cells if not c.reason]
    times = [c.seconds for c in good if c.seconds is not None]
    scoring = [c.score_seconds for c in good if c.score_seconds is not None]
    columns = {name: [getattr(c, name) for c in good] for name in FIGURES}
    return ResultLine(
        label=cells[0].detector,
        values={c.seed: getattr(c, main) for c in good},
        spreads={n: Spread.of(v) for n, v in columns.items() if v and None not in v},
        seconds=median(times) if times else None,
        score_seconds=median(scoring) if scoring else None,
        reasons={c.seed: c.reason for c in cells if c.reason},
    )


def _compared(lines: list[ResultLine]) -> list[ResultLine]:
    """Lines with their p-values against the reference; the rows to judge by are no baselines."""
    reference = next((line for line in lines if line.label == REFERENCE), None)
    if reference is None:
        return lines
    tested = []
    for line in lines:
        seeds = sorted(set(line.values) & set(reference.values))
        if seeds and line is not reference and not is_sanity(line.label):
            pair = np.array([(line.values[seed], reference.values[seed]) for seed in seeds]).T
            better = bool(np.median(pair[0] - pair[1]) > 0)
            tested.append(replace(line, p=signed_rank_p(*pair), better=better))
    corrected = zip(tested, holm([line.p for line in tested]), strict=True)
    known = {line.label: replace(line, p_holm=float(p)) for line, p in corrected}
    return [known.get(line.label, line) for line in lines]
