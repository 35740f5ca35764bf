"""How far a row is from the nearest of some training rows: what a mixture is too smooth to see.

The logarithms of the distances to the five nearest are averaged with weights 1, 1/2, ..., 1/5. A
bounded number of reference rows keeps scoring and the artifact small, and costs no detection: with
fewer references the nearest one is farther away, as a later neighbour among more is (Sugiyama and
Borgwardt, *Rapid distance-based outlier detection via sampling*, NIPS 2013).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.kernels import scoring as kernels
from dagmm_model.scoring.workspace import Workspace

MOST = 2_000
"""Most reference rows."""

LEAST = 500
"""As many are kept of a table of any width, where there are as many."""

VALUES = 75_000
"""Values that all reference rows have, but for wide tables: 118 columns have 635 references."""

NEIGHBOURS = 5
"""How many of the nearest count."""

FLOOR = 1e-3
"""Added to a distance, in deviations: copies of training rows are not infinitely close."""


@dataclass(frozen=True)
class References:
    """Scaled training rows to measure distances from.

    Attributes:
        rows: ``(R, D)`` float32.
    """

    rows: NDArray[np.float32]

    @classmethod
    def of(
        cls, x: Callable[[NDArray[np.intp]], Float], n: int, width: int, seed: int
    ) -> tuple[Self, NDArray[np.intp]]:
        """Some of n rows of width D, and for each of the n which reference it is, -1 for none.

        ``x`` gives the scaled rows of some indices.
        """
        count = min(n, MOST, max(LEAST, VALUES // width))
        chosen = np.sort(np.random.default_rng(seed).choice(n, count, replace=False))
        own = np.full(n, -1)
        own[chosen] = np.arange(count)
        return cls(x(chosen).astype(np.float32)), own

    @cached_property
    def _terms(self) -> tuple[Float, Float]:
        """Minus twice the rows as columns ``(D, R)``, and their squared norms."""
        double = self.rows.astype(np.float64)
        return np.ascontiguousarray(-2.0 * double.T), np.vecdot(double, double)

    def energy(
        self, x: Float, own: NDArray[np.intp] | None = None, work: Workspace | None = None
    ) -> Float:
        """Mean logarithm of the distances to the nearest references, ``(n,)``.

        Args:
            x: ``(n, D)`` scaled rows.
            own: ``(n,)`` which of the references a row itself is, -1 for none; None for rows that
                are not among them.
            work: where the distances are.
        """
        if own is None:
            own = np.full(len(x), -1)
        there = len(self.rows) - int((own >= 0).any())
        count = min(NEIGHBOURS, there)
        out = np.zeros(len(x))
        if count == 0:  # one training row: nothing is near or far
            return out
        columns, norms = self._terms
        work = Workspace() if work is None else work
        squares = np.matmul(x, columns, out=work("squares", len(x), len(norms)))
        squares += norms
        squares += np.vecdot(x, x)[:, None]
        weights = 1.0 / np.arange(1.0, count + 1.0)
        kernels.nearest(squares, own.astype(np.intp), weights / weights.sum(), FLOOR, out)
        return out
