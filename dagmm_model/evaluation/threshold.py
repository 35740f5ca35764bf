"""The energy above which a row is called an anomaly, and how sure that makes us.

Split-conformal calibration: with n held-out normal rows, exchangeable with the normal rows to
come, the ceil((n + 1)(1 - rate))-th smallest energy is exceeded by a new normal row with
probability at most `rate` (Vovk et al., Algorithmic Learning in a Random World, 2005). It needs
no anomalies and assumes nothing about the distribution of the energies.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagmm_model.base.arrays import Float

CONFORMAL = "split-conformal quantile of validation energies"
"""How `calibrate` sets a threshold."""

SAME = 1e-9
"""Float within this of each other, relative to those above 1, count as equal: equal rows differ
in the last digits where a matrix product groups them differently."""


class CalibrationError(ValueError):
    """The energies cannot calibrate a threshold."""


@dataclass(frozen=True)
class Threshold:
    """A calibrated threshold; a row is an anomaly when its energy is *above* `value`.

    Attributes:
        value: Energy, in nats.
        method: How it was set.
        target_rate: False-alarm rate that was asked for.
        guaranteed_rate: Largest expected share of normal rows above `value`, given exchangeable
            rows. Above `target_rate` only when there are too few calibration rows.
        calibration_rows: Held-out normal rows it was set on.
        note: What a reader should know, or an empty string.
    """

    value: float
    method: str
    target_rate: float
    guaranteed_rate: float
    calibration_rows: int
    note: str = ""

    @property
    def bound(self) -> float:
        """What an energy must exceed: `value`, and no row equal to the one it is the energy of."""
        return self.value + _tolerance(self.value)


def _tolerance(value: float) -> float:
    """Largest difference from an energy at which another one counts as equal to it."""
    return SAME * max(1.0, abs(value))


def exceeds(energies: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Which energies lie above a threshold, as `Threshold.bound` has it."""
    return np.asarray(energies, dtype=np.float64) > threshold + _tolerance(threshold)


def just_below(energy: float) -> float:
    """A threshold that rows of this energy, or of a larger one, exceed."""
    return energy - 2.0 * _tolerance(energy)


def calibrate(energies: ArrayLike, target_rate: float = 0.05) -> Threshold:
    """Threshold with a finite-sample false-alarm guarantee.

    Args:
        energies: Energies of held-out normal rows, shape ``(rows,)``.
        target_rate: Accepted share of false alarms among normal rows, between 0 and 1.

    Raises:
        CalibrationError: No energies, a non-finite energy, or a rate outside (0, 1).
    """
    if not 0 < target_rate < 1:
        raise CalibrationError(f"target_rate is {target_rate}; it must lie between 0 and 1")
    ordered = np.sort(np.asarray(energies, dtype=np.float64).ravel())
    n = len(ordered)
    if n == 0:
        raise CalibrationError("no validation rows to calibrate on: widen the validation split")
    if not np.isfinite(ordered).all():
        bad = int((~np.isfinite(ordered)).sum())
        raise CalibrationError(f"{bad} of {n} validation energies are not finite")
    rank = math.ceil((n + 1) * (1 - target_rate))
    note = ""
    if rank > n:
        rank = n
        note = (
            f"{n} validation rows cannot guarantee a rate of {target_rate:.3g}; the largest "
            f"energy is used, which guarantees {1 / (n + 1):.3g} "
            f"({rows_needed(target_rate):,} rows would do)"
        )
    return Threshold(
        value=float(ordered[rank - 1]),
        method=CONFORMAL,
        target_rate=target_rate,
        guaranteed_rate=(n + 1 - rank) / (n + 1),
        calibration_rows=n,
        note=note,
    )


def rows_needed(target_rate: float) -> int:
    """Fewest calibration rows that guarantee a false-alarm rate.

    Example:
        >>> rows_needed(0.05), calibrate(np.arange(19.0), 0.05).note
        (19, '')
    """
    return math.ceil(1 / target_rate * (1 - 1e-12)) - 1  # of 1/0.05 in floats, 20 and no more


def alarms_expected(rows: int, calibration: ArrayLike, threshold: float) -> Any:
    """Distribution of the alarms among new normal rows, the threshold's own uncertainty included.

    With m calibration rows of which r lie at or above the threshold, the alarms among n new rows of
    the same kind are beta-binomial(n, r, m + 1 - r): exact, whatever the energies' distribution.
    The plain binomial would take the threshold for exact.

    Args:
        rows: Number n of new normal rows.
        calibration: Energies of the held-out normal rows, shape ``(m,)``.
        threshold: Calibrated on them.

    Returns:
        A frozen distribution of scipy, with ``ppf``, ``cdf`` and so on.
    """
    from scipy.stats import betabinom

    energies = np.asarray(calibration, dtype=np.float64)
    above = int((energies >= threshold).sum())
    return betabinom(rows, max(above, 1), len(energies) + 1 - above)


def p_values(energies: ArrayLike, calibration: ArrayLike) -> Float:
    """Conformal p-values: share of calibration rows at least as energetic (or the same), never 0.

    Args:
        energies: Energies to judge, shape ``(rows,)``.
        calibration: Energies of the held-out normal rows, ascending, shape ``(n,)``.

    Returns:
        float64 of shape ``(rows,)``, between 1 / (n + 1) and 1; small = anomalous.
    """
    reference = np.asarray(calibration, dtype=np.float64)
    values = np.asarray(energies, dtype=np.float64)
    below = np.searchsorted(reference, values - SAME * np.maximum(1.0, np.abs(values)), side="left")
    at_least = (1.0 + len(reference) - below).astype(np.float64)
    return at_least / (len(reference) + 1.0)


class Discoveries:
    """Which rows of a batch to call anomalies, so that few of those calls are wrong.

    Benjamini and Hochberg's procedure on conformal p-values: of the rows called anomalies at most
    the given share is normal in expectation, whatever the energies' distribution and however many
    anomalies there are (Bates et al., Testing for outliers with conformal p-values, Annals of
    Statistics 2023). A conformal p-value is one of n + 1, so that counting them is enough, however
    many rows the batch has.

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
