"""Over many tables: means and mean ranks, and whether training earns its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dagmm_model.evaluation.significance import average_ranks, signed_rank_p
from flows.benchmarking.protocols import UNTRAINED
from flows.benchmarking.results.summary import Block
from flows.benchmarking.rows import is_sanity


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
        measured = [means(block) for block in figures]
        labels = dict.fromkeys(label for columns in measured for label in columns)
        ranked = [ranks(columns) for columns in measured]
        lines = [
            Placing(
                lead.protocol,
                lead.grouped,
                label,
                any(x.quoted for lines in lead.lines.values() for x in lines if x.label == label),
                len(lead.compared()),
                {b.main: float(m[label].mean()) for b, m in zip(figures, measured, strict=True)
                 if label in m},
                {b.main: r[label] for b, r in zip(figures, ranked, strict=True) if label in r},
            )
            for label in labels
        ]  # fmt: skip
        last = float("inf")
        places += sorted(lines, key=lambda s: (is_sanity(s.detector), s.ranks.get(lead.main, last)))
    return places


def means(block: Block) -> dict[str, np.ndarray]:
    """Mean figure on each compared table ``(tables,)``, by label of the rows measured on all."""
    datasets = block.compared()
    labels = [x for x in block.labels() if all(_measured(block, d, x) for d in datasets)]
    return {x: np.array([_measured(block, d, x).mean for d in datasets]) for x in labels}


def ranks(columns: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean rank of each detector by its `means`."""
    detectors = [label for label in columns if not is_sanity(label)]
    if not detectors or not len(columns[detectors[0]]):
        return {}
    mean_ranks = average_ranks(np.stack([columns[label] for label in detectors], axis=1))
    return dict(zip(detectors, mean_ranks.tolist(), strict=True))


def trainings(blocks: Sequence[Block]) -> list[TrainingGain]:
    """Every DAGMM of the protocols for suites that was measured both ways."""
    results: list[TrainingGain] = []
    for block in (block for block in blocks if block.many_tables):
        for label in block.labels():
            before = f"{label}, {UNTRAINED}"
            pairs = [(_measured(block, d, label), _measured(block, d, before)) for d in block.lines]
            both = np.array([(a.mean, b.mean) for a, b in pairs if a is not None and b is not None])
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


def _measured(block: Block, dataset: str, label: str) -> Any:
    """The line of a row with figures, or None."""
    line = block.line(dataset, label)
    return line if line is not None and line.values else None
