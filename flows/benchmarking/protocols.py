"""The protocols of a benchmark: which rows train, what is compared, and what a reader is told."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
        has_published: Whether the published figures are of this very protocol.
        one_split: Whether all seeds have the same split, as far as the rows are not drawn: spread
            and tests over the seeds would speak of the detector's draws, not of the table.
    """

    title: str
    explained: str
    figures: tuple[str, ...] = ("roc_auc", "ap")
    judged_by: tuple[str, ...] = (UNTRAINED,)
    first_seeds: tuple[int, ...] = ()
    has_published: bool = False
    one_split: bool = False

    @property
    def many_tables(self) -> bool:
        """Whether it is meant for suites: means over the tables, ranks, two figures."""
        return len(self.figures) > 1

    def seeds(self, count: int) -> list[int]:
        """That many seeds."""
        return list(dict.fromkeys([*self.first_seeds, *range(count)]))[:count]


PUBLISHED_SEEDS = (0, 1, 2, 3, 6)
"""With these, and no others of the first 47, the nearest neighbours of the five tables that are
drawn up to 1,000 rows give DTE's published means to the last digit."""

PROTOCOLS = {
    "paper": Protocol(
        "Paper's protocol",
        "A random half of all rows, its anomalies removed, trains; the other half tests. As many "
        "test rows are flagged as there are anomalies among them: that uses the anomaly ratio of "
        "the test rows, which nobody has in production.",
        ("f1",),
        (UNTRAINED, RANDOM_WEIGHTS, RECONSTRUCTION, BEST_COLUMN),
    ),
    "deployment": Protocol(
        "Deployment protocol",
        "Train, validation and test rows; the threshold is the split-conformal quantile of "
        "held-out normal rows for 5 % false alarms; labels are touched by the evaluation only.",
        ("ap",),
        # The best column has no energies of held-out rows: there is nothing to calibrate.
        (UNTRAINED, RANDOM_WEIGHTS, RECONSTRUCTION),
    ),
    "goad": Protocol(
        "GOAD's protocol",
        "The first half of the normal rows, in file order, trains; the other half and all "
        "anomalies test, and as many rows are flagged as there are anomalies. The split of GOAD "
        "and NeuTraL AD: it holds twice the anomalies of the paper's test half and is not random, "
        "so that seeds differ in the detector's draws alone.",
        ("f1",),
        one_split=True,
    ),
    "dte": Protocol(
        "DTE's protocol",
        f"Tables of fewer than {SMALL:,} rows are drawn with replacement up to {SMALL:,} before "
        "the split, so that most of their normal test rows are copies of training rows; larger "
        "ones than the suite's limit are sampled. Of the normal rows the first half, in that "
        "order, trains; the other half and all anomalies test.",
        first_seeds=PUBLISHED_SEEDS,
        has_published=True,
        one_split=True,
    ),
    "dte-plain": Protocol(
        "DTE's split without draws",
        f"The tables of fewer than {SMALL:,} rows as they are, no row a copy of another by the "
        "protocol: the first half of the normal rows trains, the other half and all anomalies "
        "test.",
        first_seeds=PUBLISHED_SEEDS,
        one_split=True,
    ),
    "halves": Protocol(
        "Shuffled halves",
        "A random half of the normal rows trains, as far as the suite's limit allows; the other "
        "half and all anomalies test.",
    ),
}
"""By name, in the order of the report."""

GROUPED = frozenset({"paper", "deployment"})
"""Protocols that can keep identical rows on one side."""


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
