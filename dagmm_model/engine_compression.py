"""The compression network's forward and backward pass, derived by hand, for one shard of a batch.

A batch is split into shards of rows that can run in threads: each has buffers and gradients of
its own, and shares only the parameters and the data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dagmm_model.compression import FEATURES, LOG_FLOOR, SQUARE_FLOOR
from dagmm_model.engine_dense import DenseStack
from dagmm_model.presets import Settings

Array = NDArray[np.floating]
Float = NDArray[np.float64]


class CompressionShard:
    """Encoder, decoder and reconstruction features of ``rows`` rows of each member.

    Args:
        x: ``(n, D + 1 or more)`` training rows, a column of ones, padding.
        width: columns D of the data.
        square: ``(n,)`` float64 squared norms of the rows, 1 for a row of zeros.
        encoder: weights ``(S, out, in + 1)``.
        decoder: weights.
        encoder_gradients: where gradients go.
        decoder_gradients: where gradients go.
        settings: features and reduction.
        rows: of the shard.
        z: ``(S, L, rows)`` float64 view that `forward` writes the latent rows to.
        path: the fixed linear path down ``(S, C, D)`` and up ``(S, D, C)``, or None.
    """

    def __init__(
        self,
        x: Array,
        width: int,
        square: Float,
        encoder: Sequence[Array],
        decoder: Sequence[Array],
        encoder_gradients: Sequence[Array],
        decoder_gradients: Sequence[Array],
        settings: Settings,
        rows: int,
        z: Float,
        path: tuple[Array, Array] | None = None,
    ) -> None:
        members, dtype = encoder[0].shape[0], encoder[0].dtype
        code = settings.encoder_widths[-1]
        self._data, self._square_of = x, square
        self._names = FEATURES[settings.reconstruction_features]
        self._per_column = 1.0 / width if settings.reconstruction_reduction == "mean" else 1.0
        self._weight = settings.lambda_reconstruction * self._per_column
        self._encoder = DenseStack(encoder, encoder_gradients, rows)
        self._decoder = DenseStack(decoder, decoder_gradients, rows)
        self._taken = np.empty((members, rows, x.shape[1]), dtype)
        self._x = self._taken[..., :width]
        self._x_and_one = self._taken[..., : width + 1].swapaxes(1, 2)
        self._code = np.ones((members, code + 1, rows), dtype)
        self._d_code = np.empty((members, code, rows), dtype)
        self._x_hat = np.empty((members, rows, width), dtype)
        self._difference = np.empty((members, rows, width), dtype)
        self._z, self._width, self._n_code = z, width, code
        self._path = path
        self._code_scratch = np.empty_like(self._d_code)
        self._cosine = "cosine" in self._names

    def forward(self, rows: NDArray[np.int64], share: Float) -> Float:
        """Latent rows of the given training rows, and their reconstruction loss.

        Args:
            rows: ``(S, rows)`` indices.
            share: ``(S, rows)`` weight of each row in the loss.

        Returns:
            ``(S,)`` sum of share times squared error.
        """
        np.take(self._data, rows, axis=0, out=self._taken, mode="clip")
        self._encoder.forward(self._x_and_one, self._code[:, :-1])
        code = self._code[:, :-1]
        if self._path is not None:
            code += np.matmul(self._path[0], self._x.swapaxes(1, 2), out=self._code_scratch)
        self._decoder.forward(self._code, self._x_hat.swapaxes(1, 2))
        if self._path is not None:
            linear = np.matmul(
                code.swapaxes(1, 2), self._path[1].swapaxes(1, 2), out=self._difference
            )
            self._x_hat += linear
        x = self._x
        np.subtract(self._x_hat, x, out=self._difference)
        self._share = share
        self._error = np.vecdot(self._difference, self._difference).astype(np.float64)
        self._z[:, : self._n_code] = self._code[:, :-1]
        square = self._square_of[rows]
        if self._cosine:
            self._square_hat = np.vecdot(self._x_hat, self._x_hat).astype(np.float64)
            self._norms = np.sqrt(square) * np.sqrt(np.maximum(self._square_hat, SQUARE_FLOOR))
            self._cosines = np.vecdot(x, self._x_hat) / self._norms
        for i, name in enumerate(self._names, start=self._n_code):
            if name == "relative":
                self._relative = np.sqrt(np.maximum(self._error, SQUARE_FLOOR) / square)
                self._relative_scale = square
                self._z[:, i] = self._relative
            elif name == "cosine":
                self._z[:, i] = self._cosines
            else:
                self._z[:, i] = np.log(self._error + LOG_FLOOR * self._width)
        loss: Float = (share * self._error).sum(axis=1) * self._per_column
        return loss

    def backward(self, d_z: Float) -> None:
        """Gradients of the weighted reconstruction loss plus what d_z ``(S, L, rows)`` brings."""
        # dJ/dx_hat = alpha (x_hat - x) + beta x, row by row
        alpha = 2.0 * self._weight * self._share
        beta = None
        for i, name in enumerate(self._names, start=self._n_code):
            if name == "relative":
                slope = 1.0 / (self._relative * self._relative_scale)
                alpha = alpha + d_z[:, i] * np.where(self._error > SQUARE_FLOOR, slope, 0.0)
            elif name == "cosine":
                live = self._square_hat > SQUARE_FLOOR
                safe = np.where(live, self._square_hat, 1.0)
                gamma = np.where(live, -d_z[:, i] * self._cosines / safe, 0.0)
                alpha = alpha + gamma
                beta = gamma + d_z[:, i] / self._norms
            else:
                alpha = alpha + 2.0 * d_z[:, i] / (self._error + LOG_FLOOR * self._width)
        dtype = self._x.dtype
        delta = self._difference
        delta *= alpha.astype(dtype)[..., None]
        if beta is not None:
            np.multiply(self._x, beta.astype(dtype)[..., None], out=self._x_hat)
            delta += self._x_hat
        self._decoder.backward(delta.swapaxes(1, 2), self._d_code)
        self._d_code += d_z[:, : self._n_code]
        if self._path is not None:
            up = self._path[1].swapaxes(1, 2)
            self._d_code += np.matmul(up, delta.swapaxes(1, 2), out=self._code_scratch)
        self._encoder.backward(self._d_code, None)
