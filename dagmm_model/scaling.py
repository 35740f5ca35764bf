"""Scaling of the input columns, fitted on the training rows and kept with the detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
LARGEST = 1e100
"""Scaled values beyond this are refused: their squares overflow float64."""


@dataclass(frozen=True)
class Scaler:
    """``(x - centre) / scale`` for each column, then arcsinh where the kind is robust.

    Attributes:
        kind: none, minmax, standard or robust.
        centre: ``(D,)``.
        scale: ``(D,)``, 1 for a constant column.
    """

    kind: str
    centre: Float
    scale: Float

    @classmethod
    def fit(cls, kind: str, x: NDArray[np.floating]) -> Scaler:
        """Fit on the rows ``(n, D)``.

        ``minmax`` maps the training range to [0, 1]; ``standard`` to mean 0 and variance 1;
        ``robust`` to median 0 and interquartile range 1, a column whose quartiles coincide being
        divided by its standard deviation; a constant column is only centred.
        """
        width = x.shape[1]
        if kind == "none":
            return cls(kind, np.zeros(width), np.ones(width))
        centre, scale = np.empty(width), np.empty(width)
        for d in range(width):  # column by column: no float64 copy of the whole matrix
            column = x[:, d].astype(np.float64)
            low, high = column.min(), column.max()
            # Brought near 1 first, so that no square of a huge value overflows.
            unit = max(abs(low), abs(high)) or 1.0
            column /= unit
            if kind == "minmax":
                centre[d], scale[d] = low, unit * (column.max() - column.min())
            elif kind == "standard":
                centre[d], scale[d] = unit * column.mean(), unit * column.std()
            else:
                quartiles = np.percentile(column, [25.0, 50.0, 75.0])
                centre[d], scale[d] = unit * quartiles[1], unit * (quartiles[2] - quartiles[0])
                if scale[d] <= 0:
                    scale[d] = unit * column.std()
            # A spread within rounding of the values is none: the column is constant.
            if low == high or scale[d] <= 1e-12 * unit:
                centre[d], scale[d] = low if low == high else centre[d], 1.0
        return cls(kind, centre, scale)

    def transform(self, x: NDArray[np.floating], first: int = 0) -> Float:
        """Scaled rows ``(n, D)`` in float64.

        Args:
            x: ``(n, D)`` rows.
            first: number of the first row in the caller's table, for the message.

        Raises:
            ValueError: a scaled value is beyond `LARGEST`.
        """
        scaled: Float = np.subtract(x, self.centre, dtype=np.float64)
        scaled /= self.scale
        if self.kind == "robust":
            np.arcsinh(scaled, out=scaled)
        if scaled.size and not max(scaled.max(), -scaled.min()) <= LARGEST:
            row, column = np.argwhere(~(np.abs(scaled) <= LARGEST))[0]
            raise ValueError(
                f"row {first + row}, column {column}: value {x[row, column]:g} is beyond "
                f"{LARGEST:g} after {self.kind} scaling; remove or clip it, or use scaling='robust'"
            )
        return scaled
