"""The engine on a GPU: a whole step, optimiser included, captured once and replayed.

At DAGMM's layer widths a step on a GPU is launches, not arithmetic; a CUDA graph replays all of
them with one call. Everything a step needs lies on the device: the data, the rows of all steps of a
piece, Adam's scales, the counter. The host waits once, at the end of the piece.

Not as on the CPU: dropout is drawn on the device, a piece at a time, from a generator that each
member's own stream seeds; and a covariance that is not positive definite shows only at the end of a
piece, as an energy that is not finite: the piece is then run again with more jitter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dagmm_model.base.distributed import Part
from dagmm_model.engines.cuda_mixture import mixture_term
from dagmm_model.engines.interface import BETAS, EPSILON, PIECE, TERMS, adam_scale, raised_jitter
from dagmm_model.engines.torch import TorchEngine
from dagmm_model.networks.network import Parameters
from dagmm_model.networks.objective import BatchMixture, objective
from dagmm_model.networks.presets import Settings

Float = NDArray[np.float64]

WARM_UP = 3
"""Steps run before the capture, as CUDA asks for; their effect is undone."""


class CudaEngine(TorchEngine):
    """Adam on the objective, replayed from a CUDA graph.

    Args:
        x: ``(n, D)`` scaled training rows.
        sample_weight: ``(n,)`` or None for ones.
        parameters: starting values, each ``(S, ...)``.
        settings: of the run.
        device: cuda or cuda:N; cpu with ``graph=False`` only.
        dtype: of the networks; the mixture is float64 in any case.
        graph: False runs the same step without capturing it.
    """

    def __init__(
        self,
        x: NDArray[np.floating],
        sample_weight: Float | None,
        parameters: Parameters,
        settings: Settings,
        device: str = "cuda",
        dtype: torch.dtype = torch.float32,
        graph: bool = True,
    ) -> None:
        super().__init__(x, sample_weight, parameters, settings, device, dtype)
        self._capture_steps = graph
        self._graph: torch.cuda.CUDAGraph | None = None
        self._generator = torch.Generator(device=self._device)
        self._added = torch.empty((len(self.jitter), 1), dtype=torch.float64, device=self._device)
        self._order = torch.empty(0)

    def run(
        self,
        order: NDArray[np.int64],
        learning_rates: Float | float,
        dropout: Sequence[np.random.Generator],
        part: Part | None = None,
    ) -> Float:
        """See `dagmm_model.engines.interface.Engine.run`."""
        members, steps, batch = order.shape
        if self._order.shape[0] != members or self._order.shape[2:] != (batch,):
            self._allocate(members, batch)
        if steps > self._scales.shape[1]:
            raise ValueError(
                f"at most {self._scales.shape[1]} steps can be run at a time, not {steps}"
            )
        self._order[:, :steps] = torch.as_tensor(order)
        at = np.arange(self._steps, self._steps + steps) + 1.0
        scales = adam_scale(np.broadcast_to(learning_rates, steps), at)
        self._scales[:, :steps] = torch.as_tensor(np.stack(scales))
        if self.settings.dropout > 0:
            self._draw(steps, dropout)
        before = self.state()
        while True:
            losses = self._run(steps)
            singular = _singular(losses[-1])
            raised = raised_jitter(self.jitter, singular) if singular.any() else None
            if raised is None:
                return losses
            self.load(before)
            self.jitter = raised

    def _draw(self, steps: int, dropout: Sequence[np.random.Generator]) -> None:
        """Which hidden units are kept in each step of a piece, from each member's own stream."""
        for stream, kept in zip(dropout, self._kept, strict=True):
            self._generator.manual_seed(int(stream.integers(2**62)))
            drawn = torch.rand(kept[:steps].shape, generator=self._generator, device=self._device)
            torch.ge(drawn, self.settings.dropout, out=kept[:steps])

    def _run(self, steps: int) -> Float:
        """Losses of the steps that lie on the device, up to the first that are not finite."""
        self._added[:, 0] = torch.as_tensor(self.jitter)
        self._position.zero_()
        if self._capture_steps and self._graph is None:
            self._capture()
        for _ in range(steps):
            if self._graph is not None:
                self._graph.replay()
            else:
                self._step()
        self._steps += steps
        losses: Float = self._losses[:steps].cpu().numpy().copy()
        bad = np.flatnonzero(~np.isfinite(losses).all(axis=(1, 2)))
        return losses[: bad[0] + 1] if len(bad) else losses

    def take(self, x: NDArray[np.floating]) -> None:
        """See `dagmm_model.engines.interface.Engine.take`; the step is captured anew."""
        super().take(x)
        self._graph = None

    def _allocate(self, members: int, batch: int) -> None:
        """Buffers that the captured step reads and writes, for pieces of up to `PIECE` steps."""
        self._graph = None
        self._order = torch.zeros((members, PIECE, batch), dtype=torch.int64, device=self._device)
        self._scales = torch.zeros((2, PIECE), dtype=self._dtype, device=self._device)
        self._losses = torch.zeros((PIECE, members, 4), dtype=torch.float64, device=self._device)
        self._position = torch.zeros(1, dtype=torch.int64, device=self._device)
        units = sum(self.settings.estimation_widths) if self.settings.dropout > 0 else 0
        self._kept = torch.zeros(
            (members, PIECE, batch, units), dtype=torch.bool, device=self._device
        )

    def _capture(self) -> None:
        """Record one step; parameters and the counter are afterwards as before."""
        before = self.state()
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._position.zero_()
                self._step()
        torch.cuda.current_stream(self._device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):  # its own would be on the first GPU
            self._step()
        self.load(before)
        self._position.zero_()
        self._graph = graph

    def _step(self) -> None:
        """One step on what lies on the device; nothing here waits for it."""
        rows = self._order.index_select(1, self._position)[:, 0]
        named = self._parameters | self._fixed
        losses, mixture = objective(
            named,
            self._x[rows],
            self._weight[rows],
            self.settings,
            self._added,
            self._masks(),
            term=mixture_term,
        )
        grads = torch.autograd.grad(losses.total.sum(), list(self._parameters.values()))
        with torch.no_grad():
            row = torch.stack([term.detach().double() for term in losses], dim=1)
            self._losses.index_copy_(0, self._position, row[None])
            if mixture is not None:
                self._last = BatchMixture(*(part.detach() for part in mixture))
            size, root = self._scales.index_select(1, self._position)[:, 0]
            self._clip(grads)
            self._update(grads, size, root)
            self._position += 1

    def _masks(self) -> list[Tensor] | None:
        rate = self.settings.dropout
        if rate == 0:
            return None
        kept = self._kept.index_select(1, self._position)[:, 0]
        masks = kept.to(self._x.dtype) / (1.0 - rate)
        return list(torch.split(masks, list(self.settings.estimation_widths), dim=-1))

    def _update(self, grads: Sequence[Tensor], size: Tensor, root: Tensor) -> None:
        """Adam, over all parameters at once."""
        parameters, grads = list(self._parameters.values()), list(grads)
        first, second = list(self._first.values()), list(self._second.values())
        torch._foreach_lerp_(first, grads, 1.0 - BETAS[0])
        torch._foreach_mul_(second, BETAS[1])
        torch._foreach_addcmul_(second, grads, grads, 1.0 - BETAS[1])
        below = torch._foreach_sqrt(second)
        torch._foreach_div_(below, root)
        torch._foreach_add_(below, EPSILON)
        step = torch._foreach_div(first, below)
        torch._foreach_mul_(step, size)
        torch._foreach_sub_(parameters, step)


def _singular(losses: Float) -> NDArray[np.bool_]:
    """``(S,)``, members whose losses ``(S, 4)`` are those of a covariance without a root.

    All other terms are finite then.
    """
    finite = dict(zip(TERMS, np.isfinite(losses).T, strict=True))
    bad: NDArray[np.bool_] = finite["reconstruction"] & finite["penalty"] & ~finite["energy"]
    return bad
