"""All parameters of all members in one array, and Adam over it.

Weights and bias of a layer lie together, the bias in the last column, as `engine_dense` takes them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dagmm_model.base.arrays import Array
from dagmm_model.engines.interface import BETAS, EPSILON, adam_scale
from dagmm_model.kernels import step as kernels_step
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
