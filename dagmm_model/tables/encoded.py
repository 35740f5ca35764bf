"""Encoded rows before their one-hot matrix is written out: numbers, and a code for each level.

Most of a one-hot matrix is zeros. What is linear in a row, and that is everything up to a network's
first tanh, needs only the numbers and, for each combination of levels, one row of a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

Layout = tuple[int | None, ...]
"""For each column of the table: None for a number, else how many columns its levels become."""

WIDEST_KEY = 2**40
"""Combinations that a key may tell apart before it is renumbered."""


@dataclass(frozen=True)
class Encoded:
    """n rows with P numbers and C categorical columns.

    Attributes:
        layout: of the matrix that the rows stand for.
        numbers: ``(P, n)`` floats.
        codes: ``(C, n)`` integers: which column of its block is 1; the block's width where none is.
    """

    layout: Layout
    numbers: NDArray[np.floating]
    codes: NDArray[np.integer]

    @classmethod
    def of(cls, matrix: NDArray[np.floating]) -> Self:
        """The rows of a matrix ``(n, D)``, all of it numbers."""
        return cls((None,) * matrix.shape[1], matrix.T, np.empty((0, len(matrix)), np.int64))

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.numbers.shape[1])

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> Self:
        """Some of the rows."""
        return type(self)(self.layout, self.numbers[:, rows], self.codes[:, rows])

    def matrix(self, order: Literal["C", "F"] = "C") -> NDArray[np.float64]:
        """The matrix ``(n, D)``; "F" is several times as fast to write for a large table."""
        numbers, blocks = places(self.layout)
        out = np.zeros((len(self), width_of(self.layout)), dtype=np.float64, order=order)
        for place, values in zip(numbers, self.numbers, strict=True):
            out[:, place] = values
        for block, codes in zip(blocks, self.codes, strict=True):
            rows = np.flatnonzero(codes < block.stop - block.start)
            out[rows, block.start + codes[rows]] = 1.0
        return out

    def combinations(self) -> tuple[NDArray[np.integer], NDArray[np.intp]]:
        """The combinations of codes that occur ``(C, K)``, and which one each row has ``(n,)``."""
        key, bound = np.zeros(len(self), np.int64), 1
        for size, codes in zip((w for w in self.layout if w is not None), self.codes, strict=True):
            if bound > WIDEST_KEY:
                key = np.unique(key, return_inverse=True)[1].astype(np.int64)
                bound = len(self)
            key = key * (size + 1) + codes
            bound *= size + 1
        _, first, which = np.unique(key, return_index=True, return_inverse=True)
        return self.codes[:, first], which


def width_of(layout: Layout) -> int:
    """Columns D of the matrix."""
    return sum(1 if size is None else size for size in layout)


def places(layout: Sequence[int | None]) -> tuple[NDArray[np.int64], tuple[slice, ...]]:
    """Where in the matrix the numbers stand, and the block of each categorical column."""
    numbers, blocks, start = [], [], 0
    for size in layout:
        if size is None:
            numbers.append(start)
        else:
            blocks.append(slice(start, start + size))
        start += 1 if size is None else size
    return np.array(numbers, dtype=np.int64), tuple(blocks)
