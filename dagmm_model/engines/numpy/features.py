"""Reconstruction loss and features of a batch with their gradients, derived by hand, float64.

All follow from three numbers of each row: the squared error, the squared norm of x_hat, and their
product x . x_hat. The gradient of the objective by a row of x_hat is then

    alpha (x_hat - x) + beta x

with two more numbers of the row, so that nothing here is as wide as the data.
"""

from __future__ import annotations

import numpy as np

from dagmm_model.base.arrays import Float
from dagmm_model.networks.compression import FEATURES, LOG_FLOOR, SQUARE_FLOOR
from dagmm_model.networks.settings import DagmmSettings


class ReconstructionFeatures:
    """The features that the settings name, and the weighted loss, of a batch of each member."""

    def __init__(self, members: int, rows: int, width: int, settings: DagmmSettings) -> None:
        self._names = FEATURES[settings.reconstruction_features]
        self._per_column = 1.0 / width if settings.reconstruction_reduction == "mean" else 1.0
        self._weight = settings.lambda_reconstruction * self._per_column
        self._floor = LOG_FLOOR * width
        self.error = np.empty((members, rows))
        """``(S, rows)`` squared norm of x_hat - x, to be filled before `forward`."""
        self.cosine = "cosine" in self._names
        """Whether `square_hat` and `dot` are needed, too."""
        self.square_hat = np.empty((members, rows))
        """``(S, rows)`` squared norm of x_hat."""
        self.dot = np.empty((members, rows))
        """``(S, rows)`` x . x_hat."""

    def forward(self, square: Float, share: Float, out: Float) -> Float:
        """Reconstruction loss of each member ``(S,)``, the sum of share times squared error.

        Args:
            square: ``(S, rows)`` squared norm of x, 1 for a row of zeros.
            share: ``(S, rows)`` weight of each row in the loss.
            out: ``(S, features, rows)``, where the features go.
        """
        self._square, self._share = square, share
        if self.cosine:
            self._norms = np.sqrt(square) * np.sqrt(np.maximum(self.square_hat, SQUARE_FLOOR))
            self._cosines = self.dot / self._norms
        for i, name in enumerate(self._names):
            if name == "relative":
                self._relative = np.sqrt(np.maximum(self.error, SQUARE_FLOOR) / square)
                out[:, i] = self._relative
            elif name == "cosine":
                out[:, i] = self._cosines
            else:
                out[:, i] = np.log(self.error + self._floor)
        loss: Float = np.vecdot(share, self.error) * self._per_column
        return loss

    def backward(self, d_features: Float) -> tuple[Float, Float]:
        """Alpha and beta ``(S, rows)`` of the weighted loss and what d_features brings.

        Args:
            d_features: ``(S, features, rows)`` gradient by the features.
        """
        alpha = 2.0 * self._weight * self._share
        beta = np.zeros_like(alpha)
        for i, name in enumerate(self._names):
            d = d_features[:, i]
            if name == "relative":
                slope = 1.0 / (self._relative * self._square)
                alpha += d * np.where(self.error > SQUARE_FLOOR, slope, 0.0)
            elif name == "cosine":
                live = self.square_hat > SQUARE_FLOOR
                safe = np.where(live, self.square_hat, 1.0)
                by_norm = np.where(live, -d * self._cosines / safe, 0.0)
                alpha += by_norm
                beta = by_norm + d / self._norms
            else:
                alpha += 2.0 * d / (self.error + self._floor)
        return alpha, beta
