"""Scaling of the input columns, fitted on the training rows and kept with the detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float, Rows
from dagmm_model.base.processors import blas_threads

LARGEST = 1e100
"""Scaled values beyond this are refused: their squares overflow float64."""

NORMAL_IQR = 1.349
"""Interquartile range of a normal distribution of deviation 1."""

SOFTNESS = 4.5
"""Deviations up to about which clipped and whitened scaling are linear."""

WHITEN_FLOOR = 1e-4
"""Share of the mean variance that is added to the variance of each principal axis; to it comes
twice the cube of columns per row: with fewer rows than columns the whitening fades out."""

RARE_WEIGHT = 0.5
"""Weight of a column with equal quartiles in tempered scaling: a value that half of the rows do not
share is many deviations away in it, however little that says."""

CONSTANT_VARIANCE = 1e-12
"""Bent columns that vary less than this are only centred."""

QUARTILES = [25.0, 50.0, 75.0]
WHITENING = ("whitened", "tempered")
BENT = ("robust", "soft", "clipped", *WHITENING)
"""Kinds that take an arcsinh."""
STANDARD_AFTER = ("soft", "clipped")
"""Kinds that are brought to mean 0 and variance 1 after it."""

ARRAYS = ("centre", "scale", "mean", "rotation", "back", "spread")
"""What a scaler consists of beside its kind."""

TABLE_ROWS = 4096
"""Rows of a block where the whole table is read."""


class Values(NamedTuple):
    """Extremes of some rows' columns, mergeable.

    Attributes:
        low: ``(D,)`` smallest values.
        high: ``(D,)`` largest values.
        two: ``(D,)``, whether a column has no value between.
    """

    low: Float
    high: Float
    two: NDArray[np.bool_]

    @classmethod
    def of(cls, x: Rows) -> Values:
        """Those of rows ``(n, D)``, at least one, or of one column ``(n,)``."""
        low, high = x.min(axis=0), x.max(axis=0)
        return cls(low, high, ((x == low) | (x == high)).all(axis=0))

    def merge(self, other: Values) -> Values:
        """Those of both parts' rows."""
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        two = self.two & other.two
        for value in (self.low, self.high, other.low, other.high):
            two &= (value == low) | (value == high)
        return Values(low, high, two)


@dataclass(frozen=True)
class Scaler:
    """``(x - centre) / scale`` for each column, and what the kind adds to it.

    Attributes:
        kind: none, minmax, standard, numeric, robust, soft, clipped, whitened or tempered.
        centre: ``(D,)``.
        scale: ``(D,)``, 1 for a constant column.
        mean: ``(D,)`` taken off last, or before the rotation; None where nothing is.
        spread: ``(D,)`` then divided by; None where nothing is.
        rotation: ``(D, D)`` to principal axes of about equal variance.
        back: ``(D, D)``, its inverse.
    """

    kind: str
    centre: Float
    scale: Float
    mean: Float | None = None
    rotation: Float | None = None
    back: Float | None = None
    spread: Float | None = None

    @classmethod
    def fit(cls, kind: str, x: Rows) -> Scaler:
        """Fit on the rows ``(n, D)``.

        ``minmax`` maps the training range to [0, 1]; ``standard`` to mean 0 and variance 1;
        ``numeric`` is the same, but maps a column of two values, such as an indicator, to 0 and 1;
        ``robust`` to median 0 and interquartile range 1, then arcsinh; a column whose quartiles
        coincide is divided by its standard deviation; a constant column is only centred.
        ``soft`` is the same, and then to mean 0 and variance 1. ``clipped`` is standard, the
        arcsinh of `SOFTNESS` deviations, and then to mean 0 and variance 1 again.
        ``whitened`` is `SOFTNESS` times the arcsinh of the robust deviations over it, then a
        rotation to the principal axes, each divided by the root of its variance plus a floor: the
        mean variance times `WHITEN_FLOOR` and twice the cube of columns per row. ``tempered`` is
        the same, with columns whose quartiles coincide multiplied by `RARE_WEIGHT` before it.
        """
        width = x.shape[1]
        if kind == "none":
            return cls(kind, np.zeros(width), np.ones(width))
        columns = [_centre_and_scale(kind, x[:, d].astype(np.float64)) for d in range(width)]
        plain = cls(kind, np.array([c[0] for c in columns]), np.array([c[1] for c in columns]))
        if kind not in (*WHITENING, *STANDARD_AFTER):
            return plain
        statistics = covariance_of(lambda part: plain.transform(x[part], None), *x.shape)
        if kind in STANDARD_AFTER:
            return standardised(plain, *statistics)
        return rotated(plain, len(x), *statistics, np.array([c[2] for c in columns]))

    def to_arrays(self) -> dict[str, Float]:
        """Its arrays for disk, as `from_arrays` takes them."""
        arrays = {f"scaler.{name}": getattr(self, name) for name in ARRAYS}
        return {name: array for name, array in arrays.items() if array is not None}

    @classmethod
    def from_arrays(cls, kind: str, arrays: Mapping[str, NDArray[Any]]) -> Scaler:
        """The scaler of a kind and of what `to_arrays` gave, among other arrays."""
        centre, scale, *others = (arrays.get(f"scaler.{name}") for name in ARRAYS)
        assert centre is not None
        assert scale is not None
        return cls(kind, centre, scale, *others)

    def transform(self, x: Rows, first: int | None = 0) -> Float:
        """Scaled rows ``(n, D)`` in float64.

        Args:
            x: ``(n, D)`` rows.
            first: number of the first row in the caller's table, for the message; None where the
                caller would not find the row by it.

        Raises:
            ValueError: a scaled value is beyond `LARGEST`.
        """
        scaled = self.by_itself(x, first)
        return scaled if self.rotation is None else scaled @ self.rotation

    def by_itself(
        self, x: Rows, first: int | None = 0, columns: NDArray[np.integer] | None = None
    ) -> Float:
        """Each column scaled by itself, and centred where a rotation follows.

        Args:
            x: ``(n, D)`` rows, or some of their columns.
            first: as in `transform`.
            columns: which columns these are; all unless given.

        Raises:
            ValueError: a scaled value is beyond `LARGEST`.
        """
        some = slice(None) if columns is None else columns
        scaled: Float = np.empty(x.shape)  # row by row in memory, whatever the layout of x
        np.subtract(x, self.centre[some], out=scaled, dtype=np.float64)
        scaled /= self.scale[some]
        if self.kind in BENT:
            np.arcsinh(scaled, out=scaled)
        if scaled.size and not max(scaled.max(), -scaled.min()) <= LARGEST:
            row, column = np.argwhere(~(np.abs(scaled) <= LARGEST))[0]
            place = f"column {column if columns is None else columns[column]}"
            if first is not None:
                place = f"row {first + row}, {place}"
            raise ValueError(
                f"{place}: value {x[row, column]:g} is beyond {LARGEST:g} after {self.kind} "
                "scaling; remove or clip it, or use scaling='robust'"
            )
        if self.kind in WHITENING:
            scaled *= SOFTNESS
        if self.mean is not None:
            scaled -= self.mean[some]
        if self.spread is not None:
            scaled /= self.spread[some]
        return scaled

    def by_column(self, difference: Float) -> Float:
        """A difference of scaled rows ``(..., D)`` in terms of the input's columns again."""
        return difference if self.back is None else difference @ self.back


def _centre_and_scale(kind: str, column: Float) -> tuple[float, float, bool]:
    """Centre and scale of one column, which is overwritten, and whether its quartiles coincide."""
    values = Values.of(column)
    low, high, two = float(values.low), float(values.high), bool(values.two)
    if low == high:
        return low, 1.0, True
    unit = max(abs(low), abs(high))
    if kind == "numeric" and two and high - low > 1e-12 * unit:
        return low, high - low, False
    # Brought near 1 first, so that no square of a huge value overflows.
    column /= unit
    quartiles = np.percentile(column, QUARTILES) if kind in BENT else np.zeros(3)
    centre, scale = centre_and_scale(
        kind, low / unit, high / unit, two, float(column.mean()), float(column.std()), quartiles
    )
    return unit * centre, unit * scale if scale > 1e-12 else 1.0, bool(quartiles[0] == quartiles[2])


def centre_and_scale(
    kind: str, low: float, high: float, two: bool, mean: float, deviation: float, quartiles: Float
) -> tuple[float, float]:
    """The rule of `Scaler.fit` for a column.

    Args:
        kind: of the scaling.
        low: smallest value.
        high: largest value.
        two: whether there are no others.
        mean: of the values.
        deviation: their standard deviation.
        quartiles: ``(3,)``.
    """
    if kind == "minmax" or (kind == "numeric" and two):
        return low, high - low
    if kind in ("standard", "numeric"):
        return mean, deviation
    if kind == "clipped":
        return mean, SOFTNESS * deviation
    lower, centre, upper = (float(q) for q in quartiles)
    scale = upper - lower
    if kind in WHITENING:
        return centre, SOFTNESS * (scale / NORMAL_IQR if scale > 0 else deviation)
    return centre, scale if scale > 0 else deviation


def standardised(plain: Scaler, mean: Float, covariance: Float) -> Scaler:
    """A soft or clipped scaler; see `rotated`."""
    variance = np.diagonal(covariance)
    spread = np.sqrt(np.where(variance > CONSTANT_VARIANCE, variance, 1.0))
    return Scaler(plain.kind, plain.centre, plain.scale, mean, spread=spread)


def rotated(
    plain: Scaler, n: int, mean: Float, covariance: Float, rare: NDArray[np.bool_]
) -> Scaler:
    """A whitening scaler.

    Args:
        plain: what it does before the rotation.
        n: number of rows.
        mean: ``(D,)`` and
        covariance: ``(D, D)`` of the rows before the rotation.
        rare: ``(D,)``, whether a column's quartiles coincide.
    """
    width = len(mean)
    weight = np.where(rare & (plain.kind == "tempered"), RARE_WEIGHT, 1.0)
    variances, axes = principal_axes(covariance * np.outer(weight, weight))
    floor = variances.mean() * (WHITEN_FLOOR + 2.0 * (width / n) ** 3)
    deviations = np.sqrt(variances + floor) if floor > 0 else np.ones(width)
    rotation, back = weight[:, None] * axes / deviations, (axes * deviations).T / weight
    return Scaler(plain.kind, plain.centre, plain.scale, mean, rotation, back)


def covariance_of(
    rows: Callable[[slice], Rows], n: int, width: int, at_once: int = TABLE_ROWS
) -> tuple[Float, Float]:
    """Mean ``(D,)`` and covariance ``(D, D)`` of n rows that are given slice by slice."""
    blocks = [slice(start, min(start + at_once, n)) for start in range(0, n, at_once)]
    mean = np.zeros(width)
    for part in blocks:
        mean += rows(part).sum(axis=0, dtype=np.float64)
    mean /= n
    covariance = np.zeros((width, width))
    with blas_threads().limit(limits=1):  # the last bits must not depend on the processors
        for part in blocks:
            centred = rows(part) - mean
            covariance += centred.T @ centred
    return mean, covariance / n


def principal_axes(covariance: Float) -> tuple[Float, Float]:
    """Variances, falling, and axes as columns; the largest entry of each is positive."""
    with blas_threads().limit(limits=1):
        variances, axes = np.linalg.eigh(covariance)
    variances, axes = np.maximum(variances[::-1], 0.0), axes[:, ::-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(len(axes))]
    return variances, axes * np.where(largest < 0, -1.0, 1.0)
