"""Over many tables: means and mean ranks, and whether training earns its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from dagmm_model.evaluation.significance import average_ranks, signed_rank_p
from flows.benchmarking.entrants import is_sanity
from flows.benchmarking.protocols import UNTRAINED
from flows.benchmarking.results.summary import Block


@dataclass(frozen=True)
class Placing:
    """A detector over the tables on which all of its protocol were measured.

    Attributes:
        group_duplicates: Whether identical rows were kept on one side.
        detector: Label of the row.
        means: Mean by figure.
        ranks: Mean rank by figure, 1 = best; none of a row to judge the others by.
    """

    protocol: str
    group_duplicates: bool
    detector: str
    published: bool
    tables: int
    means: dict[str, float]
    ranks: dict[str, float]


@dataclass(frozen=True)
class TrainingGain:
    """A DAGMM trained and before its training, over tables.

    Attributes:
        group_duplicates: Whether identical rows were kept on one side.
        detector: Label of the trained row.
        figure: What is compared.
        trained: Mean over the tables.
        untrained: The same before training.
        better: Tables on which training helps.
        worse: Tables on which it harms.
        p: Of Wilcoxon's signed-rank test over the tables, two-sided.
    """

    protocol: str
    group_duplicates: bool
    detector: str
    figure: str
    tables: int
    trained: float
    untrained: float
    better: int
    worse: int
    p: float

    def facts(self) -> dict[str, Any]:
        """For a program to read."""
        return asdict(self) | {"difference": self.trained - self.untrained}


def standings(blocks: Sequence[Block]) -> list[Placing]:
    """Of every protocol for suites, best mean rank in its first figure first."""
    places: list[Placing] = []
    for lead in (block for block in blocks if block.many_tables and block.leads):
        figures = [b for b in blocks if (b.protocol, b.grouped) == (lead.protocol, lead.grouped)]
        measured = {block.main: means(block) for block in figures}
        ranked = {figure: ranks(table) for figure, table in measured.items()}
        quoted = {x.label for lines in lead.lines.values() for x in lines if x.quoted}
        lines = [
            Placing(
                lead.protocol,
                lead.grouped,
                label,
                label in quoted,
                len(lead.compared()),
                {f: float(table[label].mean()) for f, table in measured.items() if label in table},
                {f: places[label] for f, places in ranked.items() if label in places},
            )
            for label in dict.fromkeys(label for table in measured.values() for label in table)
        ]
        last = float("inf")
        places += sorted(lines, key=lambda s: (is_sanity(s.detector), s.ranks.get(lead.main, last)))
    return places


def means(block: Block) -> pd.DataFrame:
    """Mean figures, a row for each compared table, a column for each label measured on all."""
    table = block.means(block.compared()).dropna(axis=1)
    return table[[label for label in block.labels() if label in table]]


def ranks(table: pd.DataFrame) -> dict[str, float]:
    """Mean rank of each detector by its `means`."""
    detectors = [label for label in table if not is_sanity(label)]
    if not detectors:
        return {}
    return dict(zip(detectors, average_ranks(table[detectors]).tolist(), strict=True))


def trainings(blocks: Sequence[Block]) -> list[TrainingGain]:
    """Every DAGMM of the protocols for suites that was measured both ways."""
    results: list[TrainingGain] = []
    for block in (block for block in blocks if block.many_tables):
        table = block.means(block.lines)
        for label in block.labels():
            both = table.reindex(columns=[label, f"{label}, {UNTRAINED}"]).dropna().to_numpy()
            if not len(both):
                continue
            gain = both[:, 0] - both[:, 1]
            results.append(
                TrainingGain(
                    block.protocol,
                    block.grouped,
                    label,
                    block.main,
                    len(both),
                    float(both[:, 0].mean()),
                    float(both[:, 1].mean()),
                    int((gain > 0).sum()),
                    int((gain < 0).sum()),
                    signed_rank_p(*both.T),
                )
            )
    return results
