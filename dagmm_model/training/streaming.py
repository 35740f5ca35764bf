"""Rows that do not fit into memory: read group by group, shuffled in windows, shared by ranks.

An epoch takes the groups in a new random order, a window of them at a time. The rows of a window
are shuffled together and make batches while the next window is read by a thread. Ranks read
different groups of each window, so that each reads, and holds, its share of the rows only.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Rows
from dagmm_model.base.distributed import Part, Ranks
from dagmm_model.engines.interface import PIECE
from dagmm_model.mixture.moments import Moments
from dagmm_model.training.feed import Piece
from dagmm_model.training.records import Progress

T = TypeVar("T")
R = TypeVar("R")

BUFFER_ROWS = 131_072
"""Rows of a window, over all ranks."""


@dataclass(frozen=True)
class RowGroups:
    """A table in groups of rows, such as those of Parquet files.

    Attributes:
        sizes: rows of each group.
        read: gives the rows ``(n, D)`` of the group of that number; called from a thread.
        sample: ``(m, D)`` random rows, for what needs rows side by side (quartiles, the choice of
            the mixture); all rows where they are few.
    """

    sizes: tuple[int, ...]
    read: Callable[[int], Rows]
    sample: Rows

    @property
    def rows(self) -> int:
        """Rows of all groups."""
        return sum(self.sizes)

    def map(self, change: Callable[[Rows], Rows]) -> Self:
        """The groups with their rows changed when they are read."""
        return replace(
            self, read=lambda number: change(self.read(number)), sample=change(self.sample)
        )


def prefetched(read: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What ``read`` gives for each item, the next one being read while one is in work."""
    with ThreadPoolExecutor(1) as pool:
        coming: Future[R] | None = None
        for item in items:
            following = pool.submit(read, item)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()


def moments_of(
    groups: RowGroups, ranks: Ranks, statistics: Callable[[Rows], list[Moments]]
) -> list[Moments]:
    """Moments of all rows in one pass, each rank reading its share of the groups.

    ``statistics`` gives the moments of some rows; of none, too.
    """
    mine = range(ranks.rank, len(groups.sizes), ranks.size)
    parts = (statistics(rows) for rows in prefetched(groups.read, mine))
    merged = statistics(groups.sample[:0])
    for part in parts:
        merged = [before.merge(more) for before, more in zip(merged, part, strict=True)]
    return [ranks.merge(moments) for moments in merged]


class WindowFeed:
    """Steps from windows of shuffled groups, see the module; `dagmm_model.training.feed.Feed`.

    The windows of an epoch, and the steps of each, follow from the seed and do not depend on the
    number of ranks; which rows of a window make a batch does. All members see the same windows,
    each in an order of its own. As in memory, batches are about equal, and a few rows of a window
    are left out of an epoch, other ones in each. The rows are scaled and of float32; those of a
    step and of a window are counted over all ranks.
    """

    def __init__(
        self,
        groups: RowGroups,
        batch_size: int,
        buffer_rows: int,
        seeds: Sequence[int],
        ranks: Ranks,
    ) -> None:
        self._groups, self._seeds, self._ranks = groups, seeds, ranks
        self._sizes = np.array(groups.sizes)
        self._windows = min(-(-groups.rows // buffer_rows), len(groups.sizes))
        self.steps = -(-groups.rows // batch_size)

    def windows(self, epoch: int) -> Iterator[tuple[NDArray[np.int64], int]]:
        """Groups and number of steps of each window of a 0-based epoch."""
        shuffled = np.random.default_rng([self._seeds[0], epoch]).permutation(len(self._sizes))
        rows = done = 0
        for window in np.array_split(shuffled, self._windows):
            rows += int(self._sizes[window].sum())
            until = round(self.steps * rows / self._groups.rows)
            yield window, until - done
            done = until

    def pieces(self, progress: Progress) -> Iterator[Piece]:
        """See `Feed.pieces`; a window that was in work is shuffled as before."""
        windows, passed = [], 0
        for number, (window, steps) in enumerate(self.windows(progress.epoch)):
            if steps and passed + steps > progress.done:
                windows.append((number, window, steps, max(progress.done - passed, 0)))
            passed += steps
        read = prefetched(self._read, [window for _, window, _, _ in windows])
        for (number, window, steps, done), rows in zip(windows, read, strict=True):
            order, part = self._order(progress.epoch, number, window, steps)
            for start in range(done, steps, PIECE):
                yield Piece(order[:, start : start + PIECE], part, rows if start == done else None)

    def _mine(self, window: NDArray[np.int64], rank: int) -> NDArray[np.int64]:
        return window[rank :: self._ranks.size]

    def _read(self, window: NDArray[np.int64]) -> Rows:
        mine = self._mine(window, self._ranks.rank)
        return np.concatenate(
            [self._groups.sample[:0], *(self._groups.read(int(number)) for number in mine)]
        )

    def _order(
        self, epoch: int, number: int, window: NDArray[np.int64], steps: int
    ) -> tuple[NDArray[np.int64], Part]:
        """This rank's rows of each step, ``(S, steps, b)``, and its part of the batch."""
        rows = [int(self._sizes[self._mine(window, r)].sum()) for r in range(self._ranks.size)]
        batch, rank = [n // steps for n in rows], self._ranks.rank
        generators = (np.random.default_rng([seed, epoch, number, rank]) for seed in self._seeds)
        order = np.stack([generator.permutation(rows[rank]) for generator in generators])
        order = order[:, : steps * batch[rank]].reshape(len(order), steps, batch[rank])
        return order, Part(sum(batch[:rank]), sum(batch))
