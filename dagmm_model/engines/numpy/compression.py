"""The compression network's forward and backward pass, derived by hand, and what its features add.

A batch is split into shards of rows that can run in threads: each has buffers and gradients of its
own, and shares only the parameters and the data. Reconstruction loss and features, in float64,
follow from three numbers of each row: the squared error, the squared norm of x_hat, and their
product x . x_hat. The gradient of the objective by a row of x_hat is then

    alpha (x_hat - x) + beta x

with two more numbers of the row, so that they hold nothing as wide as the data.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Array, Float
from dagmm_model.engines.numpy.dense import DenseStack
from dagmm_model.kernels import step as kernels_step
from dagmm_model.networks.compression import FEATURES, LOG_FLOOR, SQUARE_FLOOR, VISIBLE
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


class CompressionShard:
    """Encoder and decoder, for a slice of a batch's rows of each member.

    Args:
        x: ``(n, D + 1 or more)`` training rows, a column of ones, padding.
        width: columns D of the data.
        weights: ``(S, out, in + 1)`` of the layers of ``encoder`` and ``decoder``.
        gradients: where theirs go.
        part: the shard's rows in the batch.
        features: of the batch; `forward` fills in what they need of these rows.
        z: ``(S, L, batch)`` float64, `forward` writes the codes of these rows to it.
        path: the fixed linear path down ``(S, C, D)`` and up ``(S, D, C)``, or None.
        masked: whether columns will be hidden from the encoder.
    """

    def __init__(
        self,
        x: Array,
        width: int,
        weights: Mapping[str, Sequence[Array]],
        gradients: Mapping[str, Sequence[Array]],
        part: slice,
        features: ReconstructionFeatures,
        z: Float,
        path: tuple[Array, Array] | None = None,
        masked: bool = False,
    ) -> None:
        encoder, rows = weights["encoder"], part.stop - part.start
        members, dtype, code = len(encoder[0]), encoder[0].dtype, encoder[-1].shape[1]
        self._data = x
        self._encoder, self._decoder = (
            DenseStack(weights[name], gradients[name], rows) for name in ("encoder", "decoder")
        )
        self._rows = np.empty((members, rows, x.shape[1]), dtype)
        self._x = self._rows[..., :width]
        self._x_and_one = self._rows[..., : width + 1].swapaxes(1, 2)
        self._seen = np.ones((members, rows, width + 1), dtype) if masked else None
        self._code = np.ones((members, code + 1, rows), dtype)
        self._d_code = np.empty((members, code, rows), dtype)
        self._x_hat = np.empty((members, rows, width), dtype)
        self._linear = None if path is None else np.empty_like(self._x_hat)
        self._z = z[:, :code, part]
        self._path = path
        self._code_scratch = np.empty_like(self._d_code)
        self._features, self._start = features, part.start

    def forward(self, rows: NDArray[np.int64], visible: Array | None = None) -> None:
        """Codes of the given training rows ``(S, rows)``, and what their features need.

        Args:
            rows: which ones.
            visible: ``(S, rows, D)``, 0 for a column hidden from the encoder and 1 for the others;
                what is hidden then counts more, see `compress`.
        """
        np.take(self._data, rows, axis=0, out=self._rows, mode="clip")
        given = self._x_and_one
        if visible is not None:
            assert self._seen is not None
            np.multiply(self._x, visible, out=self._seen[..., :-1])
            given = self._seen.swapaxes(1, 2)
        self._encoder.forward(given, self._code[:, :-1])
        code = self._code[:, :-1]
        if self._path is not None:
            code += np.matmul(self._path[0], self._x.swapaxes(1, 2), out=self._code_scratch)
        self._decoder.forward(self._code, self._x_hat.swapaxes(1, 2))
        if self._path is not None:
            linear = np.matmul(code.swapaxes(1, 2), self._path[1].swapaxes(1, 2), out=self._linear)
            self._x_hat += linear
        self._visible = visible
        if visible is not None:
            kernels_step.weigh(self._rows, visible, VISIBLE**0.5, self._x_hat)
        self._z[...] = code
        features = self._features
        kernels_step.squared_norms(
            self._rows, self._x_hat, self._start, features.error, features.square_hat, features.dot
        )

    def backward(self, d_code: Float, alpha: Float, beta: Float) -> None:
        """Gradients of the parameters.

        Args:
            d_code: ``(S, C, rows)`` gradient by the code.
            alpha: ``(S, batch)``, the gradient by x_hat is alpha (x_hat - x) + beta x.
            beta: ``(S, batch)``.
        """
        delta = self._x_hat
        kernels_step.pull_back(self._rows, delta, self._start, alpha, beta)
        if self._visible is not None:
            kernels_step.through_weights(self._visible, VISIBLE**0.5, delta)
        self._decoder.backward(delta.swapaxes(1, 2), self._d_code)
        self._d_code += d_code
        if self._path is not None:
            up = self._path[1].swapaxes(1, 2)
            self._d_code += np.matmul(up, delta.swapaxes(1, 2), out=self._code_scratch)
        self._encoder.backward(self._d_code, None)
