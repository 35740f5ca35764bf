"""Why a row is anomalous: which columns were reconstructed badly, which component it fell to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


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
    def of_nothing(cls, width: int) -> Explanation:
        """Of no row, D = width."""
        return cls(np.empty((0, width)), np.empty(0, np.int64), np.empty(0))

    @classmethod
    def joined(cls, parts: Sequence[Explanation]) -> Explanation:
        """One of several, in order."""
        return cls(
            np.concatenate([part.shares for part in parts]),
            np.concatenate([part.component for part in parts]),
            np.concatenate([part.responsibility for part in parts]),
        )


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
