"""The fast engine on a CPU: forward and backward pass by hand, NumPy and its BLAS, no autograd.

At DAGMM's layer widths an autograd step is mostly dispatch. Here a step is about a hundred NumPy
calls into preallocated buffers; the networks run in float32, the mixture in float64. Large batches
are split into shards of rows, which run in threads where there are several processors. The number
of shards depends on the shapes alone, so that the result does not depend on the processors.

Ranks that share a batch sum what `MixtureTerm` sums, the statistics that standardise the latent,
their pulls in the backward pass, and at last the gradients: each rank has what its rows owe to
the objective of the whole batch, and these parts add up.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Array, Float
from dagmm_model.base.distributed import ALONE, Part, Ranks
from dagmm_model.base.processors import blas_threads, processors
from dagmm_model.engines.interface import Engine, dropout_masks, visible_columns
from dagmm_model.engines.numpy.compression import CompressionShard, ReconstructionFeatures
from dagmm_model.engines.numpy.dense import DenseStack, FlatParameters
from dagmm_model.engines.numpy.latent import LatentTerm
from dagmm_model.networks.compression import SQUARE_FLOOR
from dagmm_model.networks.network import Parameters, shapes
from dagmm_model.networks.settings import DagmmSettings

SHARD_WORK = 10_000_000
"""Multiplications of a step's forward pass from which on the batch is split in two shards."""

ALIGNMENT = 16
"""Values a row of the data is padded to a multiple of: 64 bytes of float32."""


class NumpyEngine(Engine):
    """Adam on the DAGMM objective; see `dagmm_model.networks.objective` for what is computed."""

    kind = "NumpyEngine"

    def __init__(
        self,
        x: Array,
        sample_weight: Float | None,
        parameters: Parameters,
        settings: DagmmSettings,
        dtype: type[np.floating] = np.float32,
        ranks: Ranks = ALONE,
    ) -> None:
        self.settings = settings
        self._dtype, self._ranks = dtype, ranks
        self._width = width = x.shape[1]
        self._rows = -1
        self.take(x)
        self._weight = sample_weight
        self._path: tuple[Array, Array] | None = None
        if "path.down" in parameters:
            self._path = parameters["path.down"].astype(dtype), parameters["path.up"].astype(dtype)
        self._flat = FlatParameters(shapes(settings, width), parameters, dtype)
        self._members = len(self._flat.values)
        self.jitter = np.full(self._members, settings.jitter)
        self._before = self.state()
        self._pool: ThreadPoolExecutor | None = None
        self._threads = processors()

    def take(self, x: Array) -> None:
        width = self._width
        # Rows padded to whole cache lines, a column of ones after the data.
        self._x = np.ones((len(x), -(-(width + 1) // ALIGNMENT) * ALIGNMENT), self._dtype)
        self._x[:, :width] = x
        with np.errstate(over="ignore"):
            square = np.vecdot(self._x[:, :width], self._x[:, :width]).astype(np.float64)
        self._square = np.where(square > SQUARE_FLOOR, square, 1.0)
        self._rows = -1  # the buffers of a step refer to the rows before

    def _allocate(self, rows: int) -> None:
        """Buffers for batches of that many rows."""
        settings, members = self.settings, self._members
        self._rows = rows
        self._equal_share = np.empty((members, rows))
        self._features = ReconstructionFeatures(members, rows, self._width, settings)
        weights, gradients = self._flat.layers(self._flat.values), self._flat.gradients
        estimation = DenseStack(
            weights["estimation"], self._flat.layers(gradients)["estimation"], rows
        )
        self._latent = LatentTerm(estimation, members, rows, settings, self._dtype, self._ranks)
        work = rows * self._flat.values.size
        parts = 2 if work >= SHARD_WORK and rows >= 2 else 1
        bounds = [rows * i // parts for i in range(parts + 1)]
        self._slices = [slice(a, b) for a, b in pairwise(bounds)]
        self._shard_grads = [gradients] + [np.zeros_like(gradients) for _ in range(parts - 1)]
        self._shards = [
            CompressionShard(
                self._x,
                self._width,
                weights,
                self._flat.layers(grad),
                part,
                self._features,
                self._latent.z,
                self._path,
                settings.masking > 0,
            )
            for grad, part in zip(self._shard_grads, self._slices, strict=True)
        ]

    def run(
        self,
        order: NDArray[np.int64],
        learning_rates: Float | float,
        dropout: Sequence[np.random.Generator],
        part: Part | None = None,
    ) -> Float:
        if order.shape[2] != self._rows:
            self._allocate(order.shape[2])
        self._before = self.state()
        losses = np.empty((order.shape[1], self._members, 4))
        rates = np.broadcast_to(learning_rates, order.shape[1])
        # One BLAS thread: our own threads do not spin while another program has the processor.
        # Overflow is not warned of but reported, with the step, as a loss that is not finite.
        with (
            blas_threads().limit(limits=1),
            ThreadPoolExecutor(1) as pool,
            np.errstate(over="ignore", invalid="ignore", divide="ignore"),
        ):
            self._pool = pool if len(self._shards) > 1 and self._threads > 1 else None
            for step in range(order.shape[1]):
                losses[step] = self.gradients(order[:, step], dropout, part)
                if not np.isfinite(losses[step]).all():
                    losses = losses[: step + 1]
                    break
                if self.settings.gradient_clip is not None:
                    self._flat.clip(self.settings.gradient_clip)
                self._flat.adam(float(rates[step]))
            self._pool = None
        return losses

    def _each_shard(self, work: Callable[[int], None]) -> None:
        """Run work(i) for every shard, the last one in a thread where there are processors."""
        *here, last = range(len(self._shards))
        other = self._pool.submit(work, last) if self._pool is not None else None
        for i in here:
            work(i)
        if other is None:
            work(last)
        else:
            other.result()

    def gradients(
        self,
        rows: NDArray[np.int64],
        dropout: Sequence[np.random.Generator],
        part: Part | None = None,
    ) -> Float:
        """Losses ``(S, 4)`` of a batch, rows ``(S, b)``; leaves the gradients in the buffers."""
        if rows.shape[1] != self._rows:
            self._allocate(rows.shape[1])
        settings = self.settings
        part = part or Part(0, rows.shape[1])
        if self._weight is None:
            share = self._equal_share
            share.fill(1.0 / part.batch)
        else:
            share = self._weight[rows]
            share /= self._ranks.sum(share.sum(axis=1, keepdims=True))
        parts = self._slices
        visible = None
        if settings.masking > 0:
            size = self._rows, self._width
            visible = visible_columns(dropout, *size, settings.masking, self._dtype, part)

        def forward(i: int) -> None:
            seen = None if visible is None else visible[:, parts[i]]
            self._shards[i].forward(rows[:, parts[i]], seen)

        self._each_shard(forward)
        code = settings.encoder_widths[-1]
        result = np.zeros((self._members, 4))
        result[:, 1] = self._features.forward(self._square[rows], share, self._latent.z[:, code:])
        if settings.mixes:
            masks = None
            if settings.dropout > 0:
                widths, rate = settings.estimation_widths, settings.dropout
                masks = dropout_masks(dropout, self._rows, widths, rate, self._dtype, part)
            result[:, 2], result[:, 3] = self._latent.losses(share, masks, self.jitter)
        d_z = self._latent.d_z
        if not settings.freeze_compression:
            alpha, beta = self._features.backward(d_z[:, code:])
            self._each_shard(
                lambda i: self._shards[i].backward(d_z[:, :code, parts[i]], alpha, beta)
            )
            for grad in self._shard_grads[1:]:
                self._flat.gradients += grad
        if not self._ranks.alone:
            self._add_up(result)
        lambdas = settings.lambda_reconstruction, settings.lambda_energy, settings.lambda_penalty
        result[:, 0] = result[:, 1:] @ lambdas
        return result

    def _add_up(self, losses: Float) -> None:
        """Gradients, and the losses that are sums over rows, of all ranks, in one message."""
        message = np.concatenate([self._flat.gradients, losses[:, 1:3]], axis=1, dtype=np.float64)
        self._ranks.sum(message)
        self._flat.gradients[...] = message[:, :-2]
        losses[:, 1:3] = message[:, -2:]

    def parameters(self) -> Parameters:
        result = self._flat.read(self._flat.values)
        if self._path is not None:
            result["path.down"], result["path.up"] = (part.copy() for part in self._path)
        return result

    def parameter_gradients(self) -> Parameters:
        """Gradients that the last step left, under the parameters' names."""
        return self._flat.read(self._flat.gradients)

    def finite(self) -> bool:
        return bool(np.isfinite(self._flat.values).all())

    def undo(self) -> None:
        self.load(self._before)

    def state(self) -> dict[str, NDArray[np.generic]]:
        tables: dict[str, NDArray[np.generic]] = {
            name: table.copy() for name, table in self._flat.tables().items()
        }
        return tables | {"steps": np.array(self._flat.steps), "jitter": self.jitter.copy()}

    def load(self, state: dict[str, NDArray[np.generic]]) -> None:
        self._flat.steps = int(state["steps"])
        self.jitter[:] = state["jitter"]
        for name, table in self._flat.tables().items():
            table[...] = state[name]

    def mean_energies(self, x: Array, criterion: str) -> Float | None:
        return None

    def mixture(self) -> tuple[Float, Float] | None:
        if not self.settings.mixes:
            return None
        return self._latent.mixture()
