"""Dense layers with hand-derived gradients, batched over members, in preallocated buffers.

Activations are feature-major, ``(S, width + 1, rows)``, with a last row of ones: the bias is then
the last column of the weights, and its gradient falls out of the same matrix product. Nothing is
allocated in a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class DenseStack:
    """Layers with tanh (and dropout) between them, the last one linear.

    Args:
        weights: of each layer, views ``(S, out, in + 1)``, the bias in the last column.
        gradients: where the gradients go, views of the same shapes.
        rows: of a batch.
    """

    def __init__(self, weights: Sequence[Array], gradients: Sequence[Array], rows: int) -> None:
        self.weights, self.gradients = list(weights), list(gradients)
        members, dtype = weights[0].shape[0], weights[0].dtype
        self._hidden = []
        self._scratch = []
        self._delta = []
        for weight in self.weights[:-1]:
            width = weight.shape[1]
            self._hidden.append(np.ones((members, width + 1, rows), dtype))
            self._scratch.append(np.empty((members, width, rows), dtype))
            self._delta.append(np.empty((members, width, rows), dtype))
        self._masks: Sequence[Array] | None = None
        self._input = self._hidden[0] if self._hidden else np.empty(0, dtype)

    def forward(self, x: Array, out: Array, masks: Sequence[Array] | None = None) -> None:
        """Write the last layer's output ``(S, out, rows)`` of x ``(S, in + 1, rows)`` to out.

        Args:
            x: input with its row of ones; kept for `backward`.
            out: any strides.
            masks: dropout factors ``(S, width, rows)`` of the hidden layers, or None.
        """
        self._input, self._masks = x, masks
        for i, hidden in enumerate(self._hidden):
            inner = hidden[:, :-1]
            np.matmul(self.weights[i], x, out=inner)
            np.tanh(inner, out=inner)
            if masks is not None:
                # The derivative (1 - t^2) * mask needs t, which the mask is about to overwrite.
                np.multiply(inner, inner, out=self._scratch[i])
                np.multiply(inner, masks[i], out=inner)
            x = hidden
        np.matmul(self.weights[-1], x, out=out)

    def backward(self, delta: Array, out: Array | None) -> None:
        """Gradients of all weights, and of the input unless ``out`` is None.

        Args:
            delta: ``(S, out, rows)`` gradient of the output.
            out: where the gradient of the input ``(S, in, rows)`` goes.
        """
        for i in range(len(self.weights) - 1, -1, -1):
            x = self._hidden[i - 1] if i else self._input
            np.matmul(delta, x.swapaxes(1, 2), out=self.gradients[i])
            if i == 0 and out is None:
                return
            target = self._delta[i - 1] if i else out
            assert target is not None
            np.matmul(self.weights[i][:, :, :-1].swapaxes(1, 2), delta, out=target)
            if i:
                slope = self._scratch[i - 1]
                if self._masks is None:
                    np.multiply(x[:, :-1], x[:, :-1], out=slope)
                np.subtract(1.0, slope, out=slope)
                np.multiply(target, slope, out=target)
                if self._masks is not None:
                    np.multiply(target, self._masks[i - 1], out=target)
            delta = target
