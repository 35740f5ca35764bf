"""Where the rows of a training's steps come from: all of them in memory, or a window at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.distributed import ALONE, Part, Ranks
from dagmm_model.engines.interface import PIECE
from dagmm_model.training.records import Progress


def batch_plan(n: int, batch_size: int) -> tuple[int, int]:
    """Steps per epoch and rows per step: equal batches, none larger than asked for.

    Equal batches leave no small last one, whose covariances would be degenerate. Fewer rows than
    there are steps are left out of an epoch, other ones in each.
    """
    steps = -(-n // batch_size)
    return steps, n // steps


@dataclass(frozen=True)
class Piece:
    """Some consecutive steps.

    Attributes:
        order: ``(S, steps, b)`` this rank's rows of each step, for each member.
        part: where they lie in the batch of all ranks.
        rows: ``(n, D)`` scaled rows that ``order`` refers to from here on; None for those before.
    """

    order: NDArray[np.int64]
    part: Part
    rows: NDArray[np.floating] | None = None


class Feed(Protocol):
    """Where the rows of an epoch's steps come from.

    Attributes:
        steps: of an epoch.
    """

    steps: int

    def pieces(self, progress: Progress) -> Iterator[Piece]:
        """What is left of the epoch in work, from step ``progress.done`` on."""


class MemoryFeed:
    """All rows are in the engine; each member has an order of its own in every epoch.

    The order follows from the seed, so that all ranks know it without a word, and a step has the
    same rows whatever their number: each takes its part of them.

    Args:
        sizes: rows of each member's table; all tables make as many steps.
        batch_size: largest number of rows of a step.
        ranks: that share every batch.
        starts: where each member's rows begin among all rows; at the first unless given.
        empty: number of a row that weighs nothing, which fills up a batch smaller than others.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        batch_size: int,
        ranks: Ranks = ALONE,
        starts: Sequence[int] | None = None,
        empty: int = 0,
    ) -> None:
        self._sizes, self._starts, self._empty = sizes, starts or [0] * len(sizes), empty
        plans = [batch_plan(n, batch_size) for n in sizes]
        self.steps = plans[0][0]
        self._batches = tuple(batch for _, batch in plans)
        self._mine = ranks.part(max(self._batches))

    def pieces(self, progress: Progress) -> Iterator[Piece]:
        widest = max(self._batches)
        order = np.full((len(self._sizes), self.steps, widest), self._empty)
        shuffled = progress.shuffled(self._sizes)
        for of, rows, start, batch in zip(
            order, shuffled, self._starts, self._batches, strict=True
        ):
            of[:, :batch] = start + rows[: self.steps * batch].reshape(self.steps, batch)
        each = None if min(self._batches) == widest else self._batches
        part = Part(self._mine.start, widest, each)
        for first in range(progress.done, self.steps, PIECE):
            yield Piece(order[:, first : first + PIECE, self._mine], part)
