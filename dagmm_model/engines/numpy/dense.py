"""Dense layers with hand-derived gradients, batched over members, in preallocated buffers.

Activations are feature-major, ``(S, width + 1, rows)``, with a last row of ones: the bias is then
the last column of the weights, and its gradient falls out of the same matrix product. Nothing is
allocated in a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dagmm_model.base.arrays import Array
from dagmm_model.kernels import step as kernels_step
from dagmm_model.kernels import tanh as kernels


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
        self._slope = []
        self._delta = []
        for weight in self.weights[:-1]:
            width = weight.shape[1]
            self._hidden.append(np.ones((members, width + 1, rows), dtype))
            self._slope.append(np.empty((members, width, rows), dtype))
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
            np.matmul(self.weights[i], x, out=hidden[:, :-1])
            if masks is None:
                kernels.tanh_rows(hidden)
            else:
                kernels.tanh_dropout_rows(hidden, masks[i], self._slope[i])
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
                if self._masks is None:
                    kernels_step.through_tanh(target, x)
                else:
                    target *= self._slope[i - 1]
            delta = target
