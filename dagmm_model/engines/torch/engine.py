"""The engine in PyTorch: the objective's gradient by autograd, everything of a step on the device.

At DAGMM's layer widths a step on a GPU is launches, not arithmetic; a CUDA graph replays all of
them with one call. So a step reads nothing from the host: the data, the rows, learning rates,
jitter, dropout and hidden columns of all steps of a run lie on the device, and a counter says which
one it is. The host waits once, at the end of the run. On a CPU the same step runs without a graph.

A covariance that is not positive definite shows only then, as an energy that is not finite: the
run is repeated with more jitter from that step on, which is what the NumPy engine does at once.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from dagmm_model.base.arrays import Float
from dagmm_model.base.distributed import ALONE, Part, Ranks, watched
from dagmm_model.engines.interface import TERMS, Engine, raised_jitter
from dagmm_model.engines.torch.mixture import batch_terms
from dagmm_model.engines.torch.tables import StepTables
from dagmm_model.engines.torch.triton_step import TritonStep
from dagmm_model.engines.torch.validation import mean_energies
from dagmm_model.engines.torch.weights import Weights
from dagmm_model.mixture.equations import BatchMixture
from dagmm_model.networks.network import Parameters
from dagmm_model.networks.objective import objective
from dagmm_model.networks.settings import DagmmSettings

CAPTURE_WARM_UP = 3
"""Steps run before the capture, as CUDA asks for; their effect is undone."""


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

    Attributes:
        tables: what the steps read and write on the device.
        position: ``(1,)``, which row of the tables the next step takes.
    """

    def __init__(
        self,
        x: NDArray[np.floating],
        sample_weight: Float | None,
        parameters: Parameters,
        settings: DagmmSettings,
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
        self.position = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._last: BatchMixture | None = None
        self._finite = True
        self.tables = StepTables(
            x.shape[1], self._members, settings, self._device, dtype, captured=graph
        )
        self.take(x)
        if sample_weight is not None:
            self.tables.weight[: len(x)] = torch.as_tensor(sample_weight)

    def take(self, x: NDArray[np.floating]) -> None:
        """See `dagmm_model.engines.interface.Engine.take`.

        Rows that find room where those before lie leave the captured step as it is.
        """
        self._rows = len(x)
        if self.tables.take(x):
            self._graph = None

    def run(
        self,
        order: NDArray[np.int64],
        learning_rates: Float | float,
        dropout: Sequence[np.random.Generator],
        part: Part | None = None,
    ) -> Float:
        _, steps, batch = order.shape
        tables = self.tables
        if tables.make_room(steps, batch):
            self._graph = None
        tables.put_order(order)
        tables.rates[:steps] = torch.as_tensor(np.broadcast_to(learning_rates, steps).copy())
        tables.jitter[:steps] = torch.as_tensor(self.jitter)[:, None]
        if self.settings.dropout > 0 or self.settings.masking > 0:
            tables.draw(steps, batch, dropout, part or Part(0, batch))
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
            tables.jitter[first:steps] = torch.as_tensor(raised)[:, None]

    def undo(self) -> None:
        self._weights.undo()
        self.jitter = self._jitter_before

    def _steps(self, steps: int) -> Float:
        """Run the steps whose rows lie on the device: their losses, ``(steps, S, 4)``."""
        if self._captures and self._graph is None:
            self._capture()
        self.position.zero_()
        advance = self.step if self._graph is None else self._graph.replay
        for _ in range(steps):
            advance()
        if not self._ranks.alone:  # NCCL ends the messages of a rank that is gone without a word
            self._ranks.sum(np.zeros(1))
        finite = torch.isfinite(self._weights.flat.detach()).all().double()
        values = torch.cat([self.tables.losses[:steps].flatten(), finite[None]]).cpu().numpy()
        self._finite = bool(values[-1])
        return values[:-1].reshape(steps, self._members, len(TERMS))

    def _capture(self) -> None:
        """Record one step; what it changes is afterwards as before."""
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(CAPTURE_WARM_UP):
                self.position.zero_()
                self.step()
        torch.cuda.current_stream(self._device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):  # its own would be on the first GPU
            self.step()
        self._weights.undo()
        self._graph = graph

    def step(self) -> None:
        """One step on what lies on the device; nothing here waits for it."""
        if self._ranks.alone:
            losses, gradient = self._gradient()
        else:
            with watched():  # the sums over ranks, and those of the backward pass
                losses, gradient = self._add_up(*self._gradient())
        with torch.no_grad():
            self.tables.losses.index_copy_(0, self.position, losses[None])
            self._weights.rate.copy_(self._now(self.tables.rates))
            self._clip(gradient)
            self._weights.step(gradient)
            self.position += 1

    def _now(self, table: Tensor) -> Tensor:
        """What a table of all steps has for this one."""
        return table.index_select(0, self.position)[0]

    def _gradient(self) -> tuple[Tensor, Tensor]:
        """Losses ``(S, 4)`` and gradient ``(S, size)`` of this step's batch."""
        tables = self.tables
        if self._kernels is not None:
            losses, gradient, self._last = self._kernels(
                tables.x, tables.weight, tables.order, self.position, tables.jitter, tables.masks
            )
            return losses, gradient
        rows = self._now(tables.order)
        of_rows, masks = rows.flatten(), None
        if self.settings.dropout > 0:
            widths = list(self.settings.estimation_widths)
            masks = list(torch.split(self._now(tables.masks), widths, dim=-1))
        visible = None
        if self.settings.masking > 0:
            visible = self._now(tables.visible).to(self._dtype)
        total, losses, mixture = self._evaluate(
            self._weights.flat,
            tables.x.index_select(0, of_rows).view(*rows.shape, tables.x.shape[1]),
            tables.weight.index_select(0, of_rows).view(rows.shape),
            self._now(tables.jitter),
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
        term = partial(batch_terms, ranks=self._ranks)
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
        weight, jitter = self.tables.weight[: self._rows], torch.as_tensor(self.jitter)[:, None]
        named = self._weights.named(self._weights.flat.detach())
        energies = mean_energies(
            {name: value.double() for name, value in named.items()},
            self.settings,
            criterion,
            self.tables.x[: self._rows],
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
