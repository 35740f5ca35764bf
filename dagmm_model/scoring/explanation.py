"""Why a row is anomalous: which columns were reconstructed badly, which component it fell to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.base.processors import in_threads

EXPLAINED_ROWS = 8192
"""Rows that a thread takes at a time."""


@dataclass(frozen=True)
class Explanation:
    """Reasons for n rows.

    Attributes:
        shares: ``(n, D)`` share of each column in the squared reconstruction error of the scaled
            row, mean over the members; a row sums to one (all 0 where nothing was off).
        component: ``(n,)`` index of the component most responsible for the row, first member; -1
            where there is no mixture.
        responsibility: ``(n,)`` its posterior probability, 0 where there is no mixture.
    """

    shares: Float
    component: NDArray[np.int64]
    responsibility: Float

    @classmethod
    def of_nothing(cls, width: int) -> Self:
        """Of no row, D = width."""
        return cls(np.empty((0, width)), np.empty(0, np.int64), np.empty(0))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One of several, in order."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class ExplainedEnergies:
    """Energies of some rows, and reasons for those above a bound.

    Attributes:
        energy: ``(n,)``.
        rows: ``(m,)`` positions of the explained rows, ascending.
        explanation: of these.
    """

    energy: Float
    rows: NDArray[np.int64]
    explanation: Explanation


def in_blocks(
    n: int, width: int, work: Callable[[slice, Float, NDArray[np.bool_]], list[Explanation]]
) -> ExplainedEnergies:
    """Score n rows, `EXPLAINED_ROWS` of them at a time, in threads where there are processors.

    Args:
        n: number of rows.
        width: of the explanations.
        work: fills in the energies ``(b,)`` of a slice and which of its rows are explained
            ``(b,)``; gives their explanations, in order.
    """
    energy, chosen = np.zeros(n), np.zeros(n, bool)
    parts = [slice(a, min(a + EXPLAINED_ROWS, n)) for a in range(0, n, EXPLAINED_ROWS)]
    blocks = in_threads(lambda part: work(part, energy[part], chosen[part]), parts)
    explanations = [each for block in blocks for each in block]
    explanation = Explanation.joined([Explanation.of_nothing(width), *explanations])
    return ExplainedEnergies(energy, np.flatnonzero(chosen), explanation)
