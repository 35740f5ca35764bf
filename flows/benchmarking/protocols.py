"""The protocols of a benchmark: which rows train, what is compared, and what a reader is told."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

import numpy as np

from dagmm_model.tables.protocols import (
    Fractions,
    RowSplit,
    deployment_split,
    drawn_rows,
    file_order_split,
    paper_split,
    shuffled_halves,
)

UNTRAINED, RANDOM_WEIGHTS = "untrained", "random weights"
"""Variants of the reference before any training."""
RECONSTRUCTION = "reconstruction error"
"""Variant that comes with its trained detector: the same network, scored without its mixture."""
BEST_COLUMN = "best column"
"""Row of the column that tells the test's anomalies apart best."""

SMALL = 1_000
"""DTE's protocol draws tables of fewer rows up to this many."""


@dataclass(frozen=True)
class Protocol:
    """How to split, and how to speak of it.

    Attributes:
        title: Heading.
        explained: A sentence or three.
        figures: By which detectors are ranked and compared, the first before all. The deployment
            protocol's F1 hangs on the threshold of a few validation rows, average precision does
            not.
        judged_by: Rows next to the detectors: variants of the reference, the best column.
        first_seeds: The seeds that come before all others.
        grouped: Whether identical rows can be kept on one side.
        has_published: Whether the published figures are of this very protocol.
        one_split: Whether all seeds have the same split, as far as the rows are not drawn: spread
            and tests over the seeds would speak of the detector's draws, not of the table.
    """

    title: str
    explained: str
    figures: Sequence[str] = ("roc_auc", "ap")
    judged_by: Sequence[str] = (UNTRAINED,)
    first_seeds: Sequence[int] = ()
    grouped: bool = False
    has_published: bool = False
    one_split: bool = False

    @property
    def many_tables(self) -> bool:
        """Whether it is meant for suites: means over the tables, ranks, two figures."""
        return len(self.figures) > 1

    def seeds(self, count: int) -> list[int]:
        """That many seeds."""
        return list(dict.fromkeys([*self.first_seeds, *range(count)]))[:count]


_TEXT = (files("flows.benchmarking") / "protocols.toml").read_text("utf-8")
PROTOCOLS = {name: Protocol(**values) for name, values in tomllib.loads(_TEXT).items()}
"""By name, in the order of the report."""
GROUPED = frozenset(name for name, protocol in PROTOCOLS.items() if protocol.grouped)
"""Those that can keep identical rows on one side."""


@dataclass(frozen=True)
class Limits:
    """How many rows take part.

    Attributes:
        rows: Of larger tables a sample by the seed of as many rows; None for no limit.
        train: Training rows of shuffled halves.
    """

    rows: int | None = None
    train: int = 5_000

    def of(self, protocol: str) -> Limits:
        """Those that the protocol looks at."""
        return self if protocol == "halves" else replace(self, train=Limits.train)


def split_rows(
    protocol: str,
    labels: np.ndarray,
    seed: int,
    groups: np.ndarray | None,
    fractions: Fractions,
    limits: Limits,
) -> RowSplit:
    """Which rows train, calibrate and test.

    Args:
        protocol: Name of one of `PROTOCOLS`.
        labels: True where a row is an anomaly, ``(rows,)``.
        seed: Of everything that is drawn.
        groups: Group of each row, ``(rows,)``; None to split row by row.
        fractions: Train, validation and test shares of the deployment protocol.
        limits: Of the rows that take part.

    Raises:
        SplitError: A part would be empty.
    """
    least = SMALL if protocol == "dte" else 0
    drawn = drawn_rows(len(labels), seed, least=least, most=limits.rows)
    labels = labels[drawn]
    groups = None if groups is None else groups[drawn]
    match protocol:
        case "paper":
            parts = paper_split(labels, seed, groups=groups)
        case "deployment":
            parts = deployment_split(labels, seed, groups=groups, fractions=fractions)
        case "goad":
            parts = file_order_split(labels)
        case "dte" | "dte-plain":
            parts = file_order_split(labels, round(int((~labels).sum()) / 2))
        case "halves":
            parts = shuffled_halves(labels, seed, most=limits.train)
        case _:
            raise ValueError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}")
    return parts.of(drawn)
