"""Parameters of all members in one array, and the dense layers that are views of it.

Weights and bias of a layer lie together, the bias in the last column. Activations are
feature-major, ``(S, width + 1, rows)``, with a last row of ones: the gradient of the bias falls out
of the same matrix product. Gradients are derived by hand, in preallocated buffers: nothing is
allocated in a step.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from dagmm_model.base.arrays import Array
from dagmm_model.engines.interface import BETAS, EPSILON, adam_scale
from dagmm_model.kernels import step as kernels_step
from dagmm_model.kernels import tanh as kernels
from dagmm_model.networks.network import Parameters


class FlatParameters:
    """Parameters, gradients and Adam's moments, each ``(S, size)``.

    Args:
        shapes: of one member's parameters, ``{network}.{layer}.weight`` or ``.bias``.
        start: values ``(S, ...)`` to start from; what has no shape is ignored.
        dtype: of all arrays.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], start: Parameters, dtype: type[np.floating]
    ) -> None:
        self._shapes = shapes
        members = len(next(iter(start.values())))
        size = sum(int(np.prod(shape)) for shape in shapes.values())
        self.values = np.empty((members, size), dtype)
        self.gradients = np.zeros_like(self.values)
        self.first, self.second = np.zeros_like(self.values), np.zeros_like(self.values)
        self.steps = 0
        for name, view in self._named(self.values).items():
            view[...] = start[name]

    def layers(self, flat: Array) -> dict[str, list[Array]]:
        """``(S, out, in + 1)`` views of each network's layers in an array like `values`."""
        views: dict[str, list[Array]] = {"encoder": [], "decoder": [], "estimation": []}
        start = 0
        for name, shape in self._shapes.items():
            if len(shape) == 2:
                out, inner = shape[0], shape[1] + 1
                part = flat[:, start : start + out * inner]
                views[name.split(".")[0]].append(part.reshape(len(flat), out, inner))
                start += out * inner
        return views

    def _named(self, flat: Array) -> dict[str, Array]:
        """Views of an array like `values` under the parameters' names."""
        layers, views = self.layers(flat), {}
        for name in self._shapes:
            network, layer, kind = name.split(".")
            both = layers[network][int(layer)]
            views[name] = both[:, :, :-1] if kind == "weight" else both[:, :, -1]
        return views

    def read(self, flat: Array) -> Parameters:
        """A copy of an array like `values` under the parameters' names."""
        return {name: view.copy() for name, view in self._named(flat).items()}

    def clip(self, limit: float) -> None:
        """Scale each member's gradient to a norm of ``limit`` at most."""
        norm = np.sqrt(np.vecdot(self.gradients.astype(np.float64), self.gradients))
        factor = np.minimum(limit / (norm + 1e-12), 1.0).astype(self.gradients.dtype)
        self.gradients *= factor[:, None]

    def adam(self, learning_rate: float) -> None:
        """A step of Adam (Kingma and Ba, 2015), bias-corrected, in place."""
        self.steps += 1
        size, root = adam_scale(learning_rate, float(self.steps))
        kernels_step.adam(
            self.values, self.gradients, self.first, self.second, BETAS, size, root, EPSILON
        )

    def tables(self) -> dict[str, Array]:
        """The arrays that training changes, beside `steps`."""
        return {"parameters": self.values, "first": self.first, "second": self.second}


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
