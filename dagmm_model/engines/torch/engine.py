"""The engine in PyTorch: the objective's gradient by autograd, everything of a step on the device.

At DAGMM's layer widths a step on a GPU is launches, not arithmetic; a CUDA graph replays all of
them with one call. So a step reads nothing from the host: the data, the rows, learning rates,
jitter, dropout and hidden columns of all steps of a run lie on the device, and a counter says which
one it is. The host waits once, at the end of the run. On a CPU the same step runs without a graph.

A covariance that is not positive definite shows only then, as an energy that is not finite: the
run is repeated with more jitter from that step on, which is what the NumPy engine does at once.

Not as on a CPU: dropout and hidden columns are drawn on the GPU, from a generator that each
member's own stream seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from dagmm_model.base.distributed import ALONE, Part, Ranks, watched
from dagmm_model.engines.interface import (
    TERMS,
    Engine,
    dropout_masks,
    raised_jitter,
    visible_columns,
)
from dagmm_model.engines.torch.mixture import mixture_term
from dagmm_model.engines.torch.triton_step import TritonStep
from dagmm_model.engines.torch.validation import mean_energies
from dagmm_model.engines.torch.weights import Weights
from dagmm_model.mixture.equations import BatchMixture
from dagmm_model.networks.network import Parameters
from dagmm_model.networks.objective import objective
from dagmm_model.networks.settings import Settings

Float = NDArray[np.float64]

WARM_UP = 3
"""Steps run before the capture, as CUDA asks for; their effect is undone."""

ROUND = 64
"""What rows and steps of a captured step's buffers are a multiple of."""


class TorchEngine(Engine):
    """Adam on the objective (`dagmm_model.networks.objective`).

    Args:
        x: ``(n, D)`` scaled training rows.
        sample_weight: ``(n,)`` or None for ones.
        parameters: starting values, each ``(S, ...)``.
        settings: of the run.
        device: cpu or cuda[:index].
        dtype: of the networks; the mixture is float64 in any case.
        graph: whether to capture the step and replay it; on a GPU only.
        compiler: of `torch.compile` that fuses the objective's operations and their gradients':
            inductor, aot_eager (which only traces) or None.
        triton: whether the kernels of `triton_step` compute losses and gradients, in float32.
        ranks: that share every batch; not with a graph.
    """

    def __init__(
        self,
        x: NDArray[np.floating],
        sample_weight: Float | None,
        parameters: Parameters,
        settings: Settings,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        graph: bool = False,
        compiler: str | None = None,
        triton: bool = False,
        ranks: Ranks = ALONE,
    ) -> None:
        self.settings = settings
        self._device, self._dtype, self._ranks = torch.device(device), dtype, ranks
        self._weights = Weights(parameters, settings, self._device, dtype)
        self._members = len(self._weights.flat)
        self.jitter = self._jitter_before = np.full(self._members, settings.jitter)
        self.kind = "TorchEngine"
        if self._device.type != "cpu":  # whose dropout is another one
            self.kind += f" on {self._device.type}"
        if triton:
            self.kind += " by Triton"
        self._evaluate = self._objective
        if compiler is not None:
            self._evaluate = torch.compile(
                self._objective, fullgraph=True, dynamic=False, backend=compiler
            )
        self._kernels = TritonStep(self._weights, settings) if triton else None
        self._captures = graph
        self._graph: torch.cuda.CUDAGraph | None = None
        self._position = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._last: BatchMixture | None = None
        self._finite = True
        self._x = torch.empty((0, x.shape[1]), dtype=dtype, device=self._device)
        self._order = torch.empty((0, self._members, 0))
        self.take(x)
        if sample_weight is not None:
            self._weight[: len(x)] = torch.as_tensor(sample_weight)

    def take(self, x: NDArray[np.floating]) -> None:
        """See `dagmm_model.engines.interface.Engine.take`.

        Rows that find room where those before lie leave the captured step as it is. Behind the last
        place there is a row of zeros that weighs nothing, to fill up batches.
        """
        n, room = len(x), len(self._x) - 1
        self._rows = n
        if n > room:
            room = n if room <= 0 else n + n // 4  # windows of a stream are not all of one size
            self._x = torch.zeros((room + 1, x.shape[1]), dtype=self._dtype, device=self._device)
            self._weight = torch.zeros(room + 1, dtype=torch.float64, device=self._device)
            self._graph = None
        self._x[:n] = torch.as_tensor(x)
        self._weight[:n] = 1.0
        self._weight[n:] = 0.0

    def run(
        self,
        order: NDArray[np.int64],
        learning_rates: Float | float,
        dropout: Sequence[np.random.Generator],
        part: Part | None = None,
    ) -> Float:
        _, steps, batch = order.shape
        self._make_room(steps, batch)
        self._take_order(order)
        self._rates[:steps] = torch.as_tensor(np.broadcast_to(learning_rates, steps).copy())
        self._jitter[:steps] = torch.as_tensor(self.jitter)[:, None]
        if self.settings.dropout > 0 or self.settings.masking > 0:
            self._draw(steps, batch, dropout, part or Part(0, batch))
        self._weights.keep()
        self._jitter_before = self.jitter
        while True:
            losses = self._steps(steps)
            bad = np.flatnonzero(~np.isfinite(losses).all(axis=(1, 2)))
            if not len(bad):
                return losses
            first = int(bad[0])
            singular = _singular(losses[first])
            raised = raised_jitter(self.jitter, singular) if singular.any() else None
            if raised is None:
                return losses[: first + 1]
            self._weights.undo()
            self.jitter = raised
            self._jitter[first:steps] = torch.as_tensor(raised)[:, None]

    def _take_order(self, order: NDArray[np.int64]) -> None:
        """Put the rows of each step on the device, in one copy that the host does not wait for.

        What lies in pinned memory is fetched by the device itself; the copy before is done, for a
        run ends with its losses on the host.
        """
        _, steps, batch = order.shape
        staged = self._staged[:steps]
        staged[:, :, :batch] = torch.as_tensor(order.swapaxes(0, 1))
        staged[:, :, batch:] = len(self._x) - 1
        self._order[:steps].copy_(staged, non_blocking=True)

    def undo(self) -> None:
        self._weights.undo()
        self.jitter = self._jitter_before

    def _make_room(self, steps: int, batch: int) -> None:
        """Buffers that a step reads and writes; kept, and a captured step with them, if they do."""
        room_steps, _, room = self._order.shape
        if steps <= room_steps and room // 2 < batch <= room:
            return
        steps, members = max(steps, room_steps), self._members
        if self._captures:  # a stream's windows differ by a few steps, their batches by a few rows
            steps, batch = steps + -steps % ROUND, batch + -batch % ROUND
        new = partial(torch.zeros, device=self._device)
        self._order = new((steps, members, batch), dtype=torch.int32)
        pinned = self._device.type == "cuda"
        self._staged = torch.empty(self._order.shape, dtype=torch.int32, pin_memory=pinned)
        self._rates = new(steps, dtype=self._weights.rate.dtype)
        self._jitter = new((steps, members, 1), dtype=torch.float64)
        self._losses = new((steps, members, len(TERMS)), dtype=torch.float64)
        units = sum(self.settings.estimation_widths) if self.settings.dropout > 0 else 0
        self._masks = new((steps, members, batch, units), dtype=self._dtype)
        columns = self._x.shape[1] if self.settings.masking > 0 else 0
        self._visible = new((steps, members, batch, columns), dtype=torch.bool)
        self._graph = None

    def _draw(
        self, steps: int, batch: int, dropout: Sequence[np.random.Generator], part: Part
    ) -> None:
        """Hidden columns and dropout factors of each step, from each member's own stream.

        They are drawn for the batch of all ranks, so that a row's do not depend on who has it.
        """
        rate, masks = self.settings.dropout, self._masks[:steps, :, :batch]
        most, visible = self.settings.masking, self._visible[:steps, :, :batch]
        if self._device.type == "cpu":
            widths = self.settings.estimation_widths
            for step in range(steps):
                if most > 0:
                    shape = batch, visible.shape[-1], most
                    drawn = visible_columns(dropout, *shape, np.float32, part)
                    visible[step] = torch.as_tensor(drawn)
                if rate == 0:
                    continue
                layers = dropout_masks(dropout, batch, widths, rate, np.float64, part)
                masks[step] = torch.as_tensor(np.concatenate(layers, axis=1)).mT
            return
        generator = torch.Generator(self._device)
        random = partial(torch.rand, generator=generator, device=self._device)
        here = slice(part.start, part.start + batch)
        for s, stream in enumerate(dropout):
            rows = part.batch if part.each is None else part.each[s]
            shape = (steps, rows, masks.shape[-1])
            generator.manual_seed(int(stream.integers(2**62)))
            for step in range(steps if most > 0 else 0):  # a wide table's would not fit at once
                share = most * random((rows, 1))
                seen = (random((rows, visible.shape[-1])) >= share)[here]
                visible[step, s, : len(seen)] = seen
            if rate > 0:
                kept = random(shape)[:, here] >= rate
                masks[:, s, : kept.shape[1]] = kept.to(self._dtype) / (1.0 - rate)

    def _steps(self, steps: int) -> Float:
        """Run the steps whose rows lie on the device: their losses, ``(steps, S, 4)``."""
        if self._captures and self._graph is None:
            self._capture()
        self._position.zero_()
        advance = self._step if self._graph is None else self._graph.replay
        for _ in range(steps):
            advance()
        if not self._ranks.alone:  # NCCL ends the messages of a rank that is gone without a word
            self._ranks.sum(np.zeros(1))
        finite = torch.isfinite(self._weights.flat.detach()).all().double()
        values = torch.cat([self._losses[:steps].flatten(), finite[None]]).cpu().numpy()
        self._finite = bool(values[-1])
        losses: Float = values[:-1].reshape(steps, self._members, len(TERMS))
        return losses

    def _capture(self) -> None:
        """Record one step; what it changes is afterwards as before."""
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
        self._weights.undo()
        self._graph = graph

    def _step(self) -> None:
        """One step on what lies on the device; nothing here waits for it."""
        if self._ranks.alone:
            losses, gradient = self._gradient()
        else:
            with watched():  # the sums over ranks, and those of the backward pass
                losses, gradient = self._add_up(*self._gradient())
        with torch.no_grad():
            self._losses.index_copy_(0, self._position, losses[None])
            self._weights.rate.copy_(self._now(self._rates))
            self._clip(gradient)
            self._weights.step(gradient)
            self._position += 1

    def _now(self, table: Tensor) -> Tensor:
        """What a table of all steps has for this one."""
        return table.index_select(0, self._position)[0]

    def _gradient(self) -> tuple[Tensor, Tensor]:
        """Losses ``(S, 4)`` and gradient ``(S, size)`` of this step's batch."""
        if self._kernels is not None:
            losses, gradient, self._last = self._kernels(
                self._x, self._weight, self._order, self._position, self._jitter, self._masks
            )
            return losses, gradient
        rows = self._now(self._order)
        of_rows, masks = rows.flatten(), None
        if self.settings.dropout > 0:
            widths = list(self.settings.estimation_widths)
            masks = list(torch.split(self._now(self._masks), widths, dim=-1))
        visible = None
        if self.settings.masking > 0:
            visible = self._now(self._visible).to(self._dtype)
        total, losses, mixture = self._evaluate(
            self._weights.flat,
            self._x.index_select(0, of_rows).view(*rows.shape, self._x.shape[1]),
            self._weight.index_select(0, of_rows).view(rows.shape),
            self._now(self._jitter),
            masks,
            visible,
        )
        (gradient,) = torch.autograd.grad(total, self._weights.flat)
        if mixture is not None:
            self._last = BatchMixture(*(part.detach() for part in mixture))
        return losses.detach(), gradient

    def _objective(
        self,
        flat: Tensor,
        x: Tensor,
        weight: Tensor,
        jitter: Tensor,
        masks: list[Tensor] | None,
        visible: Tensor | None,
    ) -> tuple[Tensor, Tensor, BatchMixture | None]:
        """The objective of all members together, its terms ``(S, 4)`` and the mixture."""
        term = partial(mixture_term, ranks=self._ranks)
        named = self._weights.named(flat)
        terms, mixture = objective(
            named, x, weight, self.settings, jitter, masks, self._ranks, visible, term
        )
        return terms.total.sum(), torch.stack(list(terms), dim=1), mixture

    def _add_up(self, losses: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Losses and gradients of all ranks, in one message.

        No `DistributedDataParallel`: the shares are to be added, not averaged, and one message
        for all of these few parameters leaves nothing to overlap with the backward pass.
        """
        message = torch.cat([losses, gradient.double()], dim=1)
        dist.all_reduce(message)
        return message[:, : len(TERMS)], gradient.copy_(message[:, len(TERMS) :])

    def _clip(self, gradient: Tensor) -> None:
        """Scale each member's gradient, in place, to the norm that the settings allow."""
        limit = self.settings.gradient_clip
        if limit is not None:
            norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True, dtype=torch.float64)
            gradient *= torch.clip(limit / (norm + 1e-12), None, 1.0).to(gradient.dtype)

    def parameters(self) -> Parameters:
        return self._weights.read()

    def parameter_gradients(self) -> Parameters:
        """Gradients that the last step left, under the parameters' names."""
        return self._weights.gradients()

    def finite(self) -> bool:
        return self._finite

    def state(self) -> dict[str, NDArray[np.generic]]:
        return self._weights.state() | {"jitter": self.jitter.copy()}

    def load(self, state: dict[str, NDArray[np.generic]]) -> None:
        self._weights.load(state)
        self.jitter = state["jitter"].astype(np.float64)

    def mean_energies(self, x: NDArray[np.floating], criterion: str) -> Float | None:
        if self.settings.masking > 0:
            return None  # scoring hides columns in its own way, see `scoring.masked`
        held = torch.as_tensor(x).to(self._device)
        weight, jitter = self._weight[: self._rows], torch.as_tensor(self.jitter)[:, None]
        energies = mean_energies(
            {
                name: value.detach().double()
                for name, value in self._weights.named(self._weights.flat).items()
            },
            self.settings,
            criterion,
            self._x[: self._rows],
            weight / weight.sum(),
            held,
            jitter.to(self._device),
        )
        means: Float = energies.cpu().numpy()
        return means if np.isfinite(means).all() else None

    def mixture(self) -> tuple[Float, Float] | None:
        if self._last is None:
            return None
        return self._last.phi.cpu().numpy(), self._last.covariance.cpu().numpy()


def _singular(losses: Float) -> NDArray[np.bool_]:
    """``(S,)``, members whose losses ``(S, 4)`` are those of a covariance without a root.

    All other terms are finite then.
    """
    finite = dict(zip(TERMS, np.isfinite(losses).T, strict=True))
    bad: NDArray[np.bool_] = finite["reconstruction"] & finite["penalty"] & ~finite["energy"]
    return bad
