"""The autograd engine: the readable reference on a CPU, and the engine on CUDA."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from dagmm_model.base.distributed import ALONE, Part, Ranks, watched
from dagmm_model.engines.interface import BETAS, EPSILON, adam_scale, dropout_masks, raised_jitter
from dagmm_model.networks.network import Parameters, trained
from dagmm_model.networks.objective import BatchMixture, Losses, objective
from dagmm_model.networks.presets import Settings

Float = NDArray[np.float64]


class TorchEngine:
    """Adam on the objective (`networks.objective`), the data in one tensor on the device.

    Args:
        x: ``(n, D)`` scaled training rows.
        sample_weight: ``(n,)`` or None for ones.
        parameters: starting values, each ``(S, ...)``.
        settings: of the run.
        device: cpu or cuda[:index].
        dtype: of the networks; the mixture is float64 in any case.
        ranks: that share every batch.
    """

    kind = "TorchEngine"

    def __init__(
        self,
        x: NDArray[np.floating],
        sample_weight: NDArray[np.float64] | None,
        parameters: Parameters,
        settings: Settings,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        ranks: Ranks = ALONE,
    ) -> None:
        self.settings = settings
        self.jitter = np.full(len(next(iter(parameters.values()))), settings.jitter)
        self._device, self._dtype, self._ranks = torch.device(device), dtype, ranks
        self.take(x)
        if sample_weight is not None:
            self._weight = torch.as_tensor(sample_weight).to(self._device, torch.float64)
        self._parameters = {
            name: torch.tensor(value, device=self._device, dtype=dtype, requires_grad=True)
            for name, value in parameters.items()
            if trained(name, settings)
        }
        self._fixed = {
            name: torch.tensor(value, device=self._device, dtype=dtype)
            for name, value in parameters.items()
            if not trained(name, settings)
        }
        self._first = {name: torch.zeros_like(p) for name, p in self._parameters.items()}
        self._second = {name: torch.zeros_like(p) for name, p in self._parameters.items()}
        self._steps = 0
        self._last: BatchMixture | None = None

    def take(self, x: NDArray[np.floating]) -> None:
        """See `dagmm_model.engines.interface.Engine.take`."""
        self._x = torch.as_tensor(x).to(self._device, self._dtype)
        self._weight = torch.ones(len(x), device=self._device, dtype=torch.float64)

    def run(
        self,
        order: NDArray[np.int64],
        learning_rates: Float | float,
        dropout: Sequence[np.random.Generator],
        part: Part | None = None,
    ) -> NDArray[np.float64]:
        """See `dagmm_model.engines.interface.Engine.run`."""
        losses = []
        rates = np.broadcast_to(learning_rates, order.shape[1])
        for step in range(order.shape[1]):
            rows = torch.as_tensor(order[:, step]).to(self._device)
            terms = self.gradients(rows, dropout, part)
            row = torch.stack([term.detach() for term in terms], dim=1)
            losses.append(row)
            if not bool(torch.isfinite(row).all()):
                break
            self._clip([p.grad for p in self._parameters.values() if p.grad is not None])
            self._adam(float(rates[step]))
        return torch.stack(losses).cpu().numpy()

    def gradients(
        self, rows: Tensor, dropout: Sequence[np.random.Generator], part: Part | None = None
    ) -> Losses:
        """Losses of a batch, rows ``(S, b)``; the gradients are left in the parameters."""
        if self._ranks.alone:
            return self._gradients(rows, dropout, part)
        with watched():  # the sums over ranks, and those of the backward pass
            return self._add_up(self._gradients(rows, dropout, part))

    def _add_up(self, losses: Losses) -> Losses:
        """Losses and gradients of all ranks, in one message.

        No `DistributedDataParallel`: the shares are to be added, not averaged, and one message
        for all of these few parameters leaves nothing to overlap with the backward pass.
        """
        grads = [p.grad for p in self._parameters.values() if p.grad is not None]
        terms = torch.stack([term.detach() for term in losses])
        flat = torch.cat([terms.reshape(-1), *(g.reshape(-1).double() for g in grads)])
        dist.all_reduce(flat)
        first, *rest = torch.split(flat, [terms.numel(), *(g.numel() for g in grads)])
        for grad, piece in zip(grads, rest, strict=True):
            grad.copy_(piece.view(grad.shape))
        return Losses(*first.view(terms.shape))

    def _gradients(
        self, rows: Tensor, dropout: Sequence[np.random.Generator], part: Part | None
    ) -> Losses:
        masks = None
        if self.settings.dropout > 0:
            dtype = np.float64 if self._x.dtype == torch.float64 else np.float32
            drawn = dropout_masks(
                dropout,
                rows.shape[1],
                self.settings.estimation_widths,
                self.settings.dropout,
                dtype,
                part or Part(0, rows.shape[1]),
            )
            masks = [torch.as_tensor(m).transpose(1, 2).to(self._device) for m in drawn]
        x, weight = self._x[rows], self._weight[rows]
        while True:
            losses, mixture = objective(
                self._parameters | self._fixed,
                x,
                weight,
                self.settings,
                torch.as_tensor(self.jitter)[:, None].to(self._device),
                masks,
                self._ranks,
            )
            if mixture is None or self._positive_definite(mixture.covariance.detach()):
                break
        for parameter in self._parameters.values():
            parameter.grad = None
        torch.autograd.backward(losses.total.sum())
        if mixture is not None:
            self._last = BatchMixture(*(part.detach() for part in mixture))
        return losses

    def _positive_definite(self, covariance: Tensor) -> bool:
        """Whether to go on; otherwise the jitter was raised and the step is computed again."""
        bad = torch.linalg.cholesky_ex(covariance).info.any(dim=1)
        if not bool(bad.any()) or not bool(torch.isfinite(covariance).all()):
            return True
        raised = raised_jitter(self.jitter, bad.cpu().numpy())
        if raised is None:
            return True  # the energy is then not finite, and reported as such
        self.jitter = raised
        return False

    def _clip(self, grads: Sequence[Tensor]) -> None:
        """Scale each member's gradient, in place, to the norm that the settings allow."""
        limit = self.settings.gradient_clip
        if limit is None:
            return
        squares = torch.stack([g.flatten(1).double().square().sum(1) for g in grads]).sum(0)
        factor = torch.clip(limit / (torch.sqrt(squares) + 1e-12), None, 1.0).to(grads[0].dtype)
        for grad in grads:
            grad *= factor.reshape(-1, *[1] * (grad.ndim - 1))

    def _adam(self, learning_rate: float) -> None:
        """Adam (Kingma and Ba, 2015), bias-corrected."""
        self._steps += 1
        size, root = adam_scale(learning_rate, float(self._steps))
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                grad = parameter.grad
                assert grad is not None
                first, second = self._first[name], self._second[name]
                first.mul_(BETAS[0]).add_(grad, alpha=1.0 - BETAS[0])
                second.mul_(BETAS[1]).addcmul_(grad, grad, value=1.0 - BETAS[1])
                parameter.addcdiv_(first, second.sqrt().div_(root).add_(EPSILON), value=-size)

    def parameters(self) -> Parameters:
        """See `dagmm_model.engines.interface.Engine.parameters`."""
        everything = self._parameters | self._fixed
        return {name: p.detach().cpu().numpy().copy() for name, p in everything.items()}

    def parameter_gradients(self) -> Parameters:
        """Gradients that the last step left, under the parameters' names."""
        return {
            name: p.grad.cpu().numpy().copy()
            for name, p in self._parameters.items()
            if p.grad is not None
        }

    def finite(self) -> bool:
        """See `dagmm_model.engines.interface.Engine.finite`."""
        return all(bool(torch.isfinite(p).all()) for p in self._parameters.values())

    def state(self) -> dict[str, NDArray[np.generic]]:
        """See `dagmm_model.engines.interface.Engine.state`."""
        state: dict[str, NDArray[np.generic]] = {
            "steps": np.array(self._steps),
            "jitter": self.jitter.copy(),
        }
        for name, parameter in self._parameters.items():
            state[f"parameter.{name}"] = parameter.detach().cpu().numpy().copy()
            state[f"first.{name}"] = self._first[name].cpu().numpy().copy()
            state[f"second.{name}"] = self._second[name].cpu().numpy().copy()
        return state

    def load(self, state: dict[str, NDArray[np.generic]]) -> None:
        """See `dagmm_model.engines.interface.Engine.load`."""
        self._steps = int(state["steps"])
        self.jitter[:] = state["jitter"]
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(torch.as_tensor(state[f"parameter.{name}"]))
                self._first[name].copy_(torch.as_tensor(state[f"first.{name}"]))
                self._second[name].copy_(torch.as_tensor(state[f"second.{name}"]))

    def mixture(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """See `dagmm_model.engines.interface.Engine.mixture`."""
        if self._last is None:
            return None
        return self._last.phi.cpu().numpy(), self._last.covariance.cpu().numpy()
