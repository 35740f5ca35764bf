"""Which rows of a batch to call anomalies, so that few of those calls are wrong.

Benjamini and Hochberg's procedure on conformal p-values: of the rows called anomalies at most the
given share is normal in expectation, whatever the energies' distribution and however many anomalies
there are (Bates et al., Testing for outliers with conformal p-values, Annals of Statistics 2023).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagmm_model.evaluation.threshold import p_values


class Discoveries:
    """Collects the p-values of a batch, however many rows it has, and then decides.

    A conformal p-value is one of n + 1, so that counting them is enough.

    Args:
        calibration: Energies of the held-out normal rows, ascending, shape ``(n,)``.

    Example:
        >>> found = Discoveries(np.arange(99.0))
        >>> found.add(np.array([3.0, 50.0, 200.0, 300.0]))
        >>> found.threshold(0.1)
        94.0
    """

    def __init__(self, calibration: ArrayLike) -> None:
        self._calibration = np.asarray(calibration, dtype=np.float64)
        self._counts: NDArray[np.int64] = np.zeros(len(self._calibration) + 1, dtype=np.int64)

    def add(self, energies: ArrayLike) -> None:
        """Count the rows of these energies, shape ``(rows,)``."""
        size = len(self._counts)
        above = np.rint(p_values(energies, self._calibration) * size).astype(np.int64) - 1
        self._counts += np.bincount(above, minlength=size)

    def threshold(self, level: float) -> float | None:
        """Energy above which rows are discoveries at that false discovery rate; None for none."""
        size, rows = len(self._counts), int(self._counts.sum())
        at_most = np.cumsum(self._counts)  # rows with one of the i + 1 smallest p-values
        values = np.arange(1, size + 1) / size
        within = np.flatnonzero(values * rows <= level * at_most + 1e-9)
        if not rows or not len(within):
            return None
        above = int(within[-1])  # calibration rows that may lie above a discovery
        return float(self._calibration[size - 2 - above])
