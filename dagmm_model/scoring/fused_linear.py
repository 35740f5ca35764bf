"""Linear outputs of scaled rows, without writing the one-hot matrix out.

An output is a direction in the space of scaled (and rotated) rows. The numbers of a row give a
matrix product of their own width; its combination of levels gives one row of a small table.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.kernels import scoring as kernels_scoring
from dagmm_model.scoring.workspace import Workspace
from dagmm_model.tables.encoded import Encoded, Layout, places, width_of
from dagmm_model.tables.scaling import Scaler


@dataclass(frozen=True)
class LevelTables:
    """What the levels of some rows contribute.

    Attributes:
        which: ``(n,)`` each row's combination of levels.
        outputs: ``(K, O)`` outputs of each combination.
        square: ``(K,)`` its part of a row's squared norm that no number changes.
        scaled: ``(K, D)`` its columns scaled by themselves; zeros for the numbers.
    """

    which: NDArray[np.intp]
    outputs: Float
    square: Float
    scaled: Float


class LinearPart:
    """Outputs ``(n, O)`` and squared norms of rows of one layout.

    Args:
        scaler: of the columns.
        layout: which columns are numbers.
        directions: ``(O, D)``, in the space of transformed rows.
        bias: ``(O,)``.
    """

    def __init__(self, scaler: Scaler, layout: Layout, directions: Float, bias: Float) -> None:
        self._scaler, self._width = scaler, width_of(layout)
        self.numbers, self._blocks = places(layout)
        self._rotation = scaler.rotation
        self._outputs = len(directions)
        if self._rotation is None:
            weights = directions.T
        else:
            # The norm in the space that the numbers reach is that of as many coordinates.
            self._reached = np.linalg.qr(self._rotation[self.numbers].T)[0].T
            weights = self._rotation @ np.concatenate([directions, self._reached]).T
        self._weights = weights
        self._of_numbers = np.ascontiguousarray(weights[self.numbers])
        self._bias = np.concatenate([bias, np.zeros(weights.shape[1] - len(bias))])
        self._levels = scaled_levels(scaler, self._blocks)

    def tables(self, rows: Encoded) -> LevelTables:
        """What the levels of these rows contribute."""
        combinations, which = rows.combinations()
        scaled = np.zeros((combinations.shape[1], self._width))
        for block, codes, levels in zip(self._blocks, combinations, self._levels, strict=True):
            scaled[:, block] = levels[codes]
        outputs = scaled @ self._weights + self._bias
        if self._rotation is None:
            square = np.vecdot(scaled, scaled)
        else:
            beyond = scaled @ self._rotation - outputs[:, self._outputs :] @ self._reached
            square = np.vecdot(beyond, beyond)
        return LevelTables(which, outputs, square, scaled)

    def of(
        self, rows: Encoded, part: slice, tables: LevelTables, first: int, work: Workspace
    ) -> tuple[Float, Float, Float]:
        """Outputs ``(m, O)``, squared norms ``(m,)`` and scaled numbers ``(m, P)`` of some rows.

        The tables are those of ``rows``, whose first one has the number ``first`` in the caller's
        table; the outputs lie in ``work`` until it is used again.
        """
        x = rows.numbers[:, part].T
        scaled = self._scaler.by_itself(x, first + part.start, self.numbers)
        out = work("outputs", len(x), self._of_numbers.shape[1])
        np.matmul(scaled, self._of_numbers, out=out)
        square = work("square", len(x))
        # Where rows are rotated, the last outputs are what the numbers reach.
        reached = out.shape[1] if self._rotation is None else self._outputs
        kernels_scoring.add_levels(
            out, tables.outputs, tables.square, tables.which[part], scaled, reached, square
        )
        return out, square, scaled


def scaled_levels(scaler: Scaler, blocks: Sequence[slice]) -> list[Float]:
    """The columns of each block, scaled by themselves, for each of its levels, and for none."""
    widths = ((block, block.stop - block.start) for block in blocks)
    return [
        scaler.by_itself(np.eye(width + 1, width), columns=np.arange(block.start, block.stop))
        for block, width in widths
    ]
