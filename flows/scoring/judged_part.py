"""Some judged rows, and what was found in them."""

import zlib
from dataclasses import dataclass, field
from typing import Self

import pyarrow as pa

KNOWN = "known: "
"""How the remark on an anomaly begins that is like a row judged normal; it ends the remarks."""


def checksum(raw: pa.RecordBatch) -> int:
    """Checksum of some raw rows, never 0; tells whether a source gave the same ones again."""
    return zlib.crc32(raw.serialize()) or 1


@dataclass(frozen=True)
class Counts:
    """What was found in some rows.

    `checksum` is of their content, or 0; `causes` are rejected rows by what was wrong with them;
    `known` are anomalies like rows that were judged normal.
    """

    rows: int = 0
    scored: int = 0
    anomalies: int = 0
    remarked: int = 0
    unseen: dict[str, int] = field(default_factory=dict)
    checksum: int = 0
    causes: dict[str, int] = field(default_factory=dict)
    known: int = 0

    def plus(self, other: Self) -> Self:
        """Counts of both, in this order."""
        return type(self)(
            self.rows + other.rows,
            self.scored + other.scored,
            self.anomalies + other.anomalies,
            self.remarked + other.remarked,
            _sum(self.unseen, other.unseen),
            zlib.crc32(other.checksum.to_bytes(4, "big"), self.checksum) if other.checksum else 0,
            _sum(self.causes, other.causes),
            self.known + other.known,
        )


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


@dataclass(frozen=True)
class JudgedPart:
    """A slice of rows with what was found in it."""

    scored: pa.Table
    rejected: pa.Table
    counts: Counts
