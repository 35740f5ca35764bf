"""Where the rows of a training's steps come from: all of them in memory, or a window at a time."""

from collections.abc import Iterator
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
    """

    def __init__(self, n: int, batch_size: int, ranks: Ranks = ALONE) -> None:
        self.steps, self._batch = batch_plan(n, batch_size)
        self._n, self._mine = n, ranks.part(self._batch)

    def pieces(self, progress: Progress) -> Iterator[Piece]:
        rows = progress.shuffled([self._n] * progress.members)
        order = np.stack([of[: self.steps * self._batch] for of in rows])
        order = order.reshape(len(rows), self.steps, self._batch)[..., self._mine]
        part = Part(self._mine.start, self._batch)
        for start in range(progress.done, self.steps, PIECE):
            yield Piece(order[:, start : start + PIECE], part)
