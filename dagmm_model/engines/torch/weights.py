"""All trained parameters of all members in one tensor, and Adam over it: one kernel on a GPU."""

import math
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dagmm_model.engines.interface import BETAS, EPSILON
from dagmm_model.networks.network import Parameters, trained
from dagmm_model.networks.settings import DagmmSettings

T = TypeVar("T", bound=np.generic)

MOMENTS = ("exp_avg", "exp_avg_sq")
"""PyTorch's names of Adam's moments; `Weights.state` has them as ``first`` and ``second``."""


class Weights:
    """Parameters ``(S, size)``, Adam's moments, and a copy of both from before the last run.

    A weight lies in it as ``(in, out)``: its gradient, a product of a layer's input and what comes
    back to its output, then lies the same way, and nothing is transposed.

    Args:
        parameters: starting values, each ``(S, ...)``, weights as ``(S, out, in)``.
        settings: of the run; they say which parameters are trained.
        device: of the tensors.
        dtype: of the tensors.

    Attributes:
        flat: the trained parameters.
        fixed: those that the objective does not move, under their names.
        rate: learning rate of the next step.
    """

    def __init__(
        self,
        parameters: Parameters,
        settings: DagmmSettings,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        moving = {name: value for name, value in parameters.items() if trained(name, settings)}
        self.shapes = {name: _turned(value).shape[1:] for name, value in moving.items()}
        self.fixed = {
            name: torch.as_tensor(value).to(device, dtype)
            for name, value in parameters.items()
            if name not in moving
        }
        self.flat = torch.as_tensor(self._joined(moving)).to(device, dtype, copy=True)
        self.flat.requires_grad_()
        # On the device, where a captured step reads it; a GPU's kernel takes no other type.
        rate_type = torch.float64 if device.type == "cpu" else torch.float32
        self.rate = torch.zeros((), dtype=rate_type, device=device)
        self._adam = torch.optim.Adam(
            [self.flat],
            lr=self.rate,
            betas=BETAS,
            eps=EPSILON,
            fused=True,
            capturable=device.type != "cpu",
        )
        self._moments = {name: torch.zeros_like(self.flat.detach()) for name in MOMENTS}
        self._steps = torch.zeros((), device=device)
        self._adam.state[self.flat] = {"step": self._steps, **self._moments}
        self._changing = [self.flat.detach(), *self._moments.values(), self._steps]
        self._before = [tensor.clone() for tensor in self._changing]

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Every parameter under its name, ``(S, ...)``, weights as ``(S, out, in)``: views."""
        return self._trained(flat) | self.fixed

    def _trained(self, flat: Tensor) -> dict[str, Tensor]:
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts = torch.split(flat, sizes, dim=1)
        views = {
            name: part.view(-1, *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }
        return {n: v.mT if v.ndim == 3 else v for n, v in views.items()}

    def step(self, gradient: Tensor) -> None:
        """A step of Adam (Kingma and Ba, 2015) by a gradient like `flat`."""
        self.flat.grad = gradient.contiguous()  # the fused kernel reads it as if it were
        self._adam.step()

    def keep(self) -> None:
        """Copy everything that a step changes, on the device, for `undo`."""
        for kept, tensor in zip(self._before, self._changing, strict=True):
            kept.copy_(tensor)

    def undo(self) -> None:
        """Back to the last `keep`."""
        for kept, tensor in zip(self._before, self._changing, strict=True):
            tensor.copy_(kept)

    def read(self) -> Parameters:
        """A copy of all parameters, weights as ``(S, out, in)``."""
        fixed = {name: value.cpu().numpy().copy() for name, value in self.fixed.items()}
        return self._parted(self.flat) | fixed

    def gradients(self) -> Parameters:
        """Gradients of the last step under the parameters' names."""
        assert self.flat.grad is not None
        return self._parted(self.flat.grad)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """A copy of everything that a step changes, by parameter."""
        first, second = self._moments.values()
        tables = {"parameter": self.flat, "first": first, "second": second}
        arrays: dict[str, NDArray[np.generic]] = {"steps": np.array(int(self._steps))}
        for table, tensor in tables.items():
            arrays |= {f"{table}.{name}": value for name, value in self._parted(tensor).items()}
        return arrays

    def load(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Continue from a `state`."""
        self._steps.fill_(int(state["steps"]))
        tables = ("parameter", "first", "second")
        for table, tensor in zip(tables, self._changing, strict=False):
            values = {name: state[f"{table}.{name}"] for name in self.shapes}
            tensor.copy_(torch.as_tensor(self._joined(values)))

    def _joined(self, values: Mapping[str, NDArray[np.generic]]) -> NDArray[np.generic]:
        rows = [_turned(value).reshape(len(value), -1) for value in values.values()]
        return np.concatenate(rows, axis=1)

    def _parted(self, tensor: Tensor) -> Parameters:
        named = self._trained(tensor.detach().cpu())
        return {name: view.numpy().copy() for name, view in named.items()}


def _turned(value: NDArray[T]) -> NDArray[T]:
    """``(S, out, in)`` as ``(S, in, out)`` and back; a bias as it is."""
    return value.swapaxes(1, 2) if value.ndim == 3 else value
