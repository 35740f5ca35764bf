"""The fast engine on a CPU: forward and backward pass by hand, NumPy and its BLAS, no autograd.

At DAGMM's layer widths an autograd step is mostly dispatch. Here a step is about a hundred NumPy
calls into preallocated buffers; the networks run in float32, the mixture in float64. Large batches
are split into shards of rows, which run in threads where there are several processors. The number
of shards depends on the shapes alone, so that the result does not depend on the processors.

Ranks that share a batch sum what `engine_mixture` sums, the statistics that standardise the latent,
their pulls in the backward pass, and at last the gradients: each rank has what its rows owe to
the objective of the whole batch, and these parts add up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dagmm_model.compression import SQUARE_FLOOR
from dagmm_model.distributed import ALONE, Part, Ranks
from dagmm_model.engine import dropout_masks, raised_jitter, singular
from dagmm_model.engine_compression import CompressionShard
from dagmm_model.engine_dense import DenseStack
from dagmm_model.engine_mixture import MixtureTerm
from dagmm_model.mixture import LATENT_VARIANCE_FLOOR
from dagmm_model.network import Parameters, latent_width, shapes
from dagmm_model.presets import Settings
from dagmm_model.processors import blas_threads, processors

BETAS = (0.9, 0.999)
EPSILON = 1e-8

SHARD_WORK = 10_000_000
"""Multiplications of a step's forward pass from which on the batch is split in two shards."""

ALIGNMENT = 16
"""Values a row of the data is padded to a multiple of: 64 bytes of float32."""

Array = NDArray[np.floating]
Float = NDArray[np.float64]


class NumpyEngine:
    """Adam on the DAGMM objective; see `dagmm_model.objective` for what is computed.

    Args:
        x: ``(n, D)`` scaled training rows.
        sample_weight: ``(n,)`` or None for ones.
        parameters: starting values, each ``(S, ...)``.
        settings: of the run.
        dtype: of the networks; the mixture is float64 in any case.
        threads: processors to use; None for those that the BLAS library may use.
        ranks: that share every batch.
    """

    kind = "NumpyEngine"

    def __init__(
        self,
        x: Array,
        sample_weight: Float | None,
        parameters: Parameters,
        settings: Settings,
        dtype: type[np.floating] = np.float32,
        threads: int | None = None,
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
        self._shapes = shapes(settings, width)
        self._members = len(next(iter(parameters.values())))
        self.jitter = np.full(self._members, settings.jitter)
        size = sum(int(np.prod(shape)) for shape in self._shapes.values())
        self._flat = np.empty((self._members, size), dtype)
        self._grad = np.zeros_like(self._flat)
        self._first, self._second = np.zeros_like(self._flat), np.zeros_like(self._flat)
        self._scratch = np.empty_like(self._flat)
        self._steps = 0
        self._write(self._flat, parameters)
        self._weights = self._views(self._flat)
        self._pool: ThreadPoolExecutor | None = None
        self._threads = min(threads or processors(), processors())

    def take(self, x: Array) -> None:
        """See `dagmm_model.engine.Engine.take`."""
        width = self._width
        # Rows padded to whole cache lines, a column of ones after the data.
        self._x = np.ones((len(x), -(-(width + 1) // ALIGNMENT) * ALIGNMENT), self._dtype)
        self._x[:, :width] = x
        with np.errstate(over="ignore"):
            square = np.vecdot(self._x[:, :width], self._x[:, :width]).astype(np.float64)
        self._square = np.where(square > SQUARE_FLOOR, square, 1.0)
        self._rows = -1  # the buffers of a step refer to the rows before

    def _views(self, flat: Array) -> dict[str, list[Array]]:
        """``(S, out, in + 1)`` views of each network's layers in a flat array."""
        views: dict[str, list[Array]] = {"encoder": [], "decoder": [], "estimation": []}
        start = 0
        for name, shape in self._shapes.items():
            if len(shape) == 2:
                out, inner = shape[0], shape[1] + 1
                part = flat[:, start : start + out * inner]
                views[name.split(".")[0]].append(part.reshape(self._members, out, inner))
                start += out * inner
        return views

    def _write(self, flat: Array, parameters: Parameters) -> None:
        views = self._views(flat)
        for name in self._shapes:
            network, layer, kind = name.split(".")
            target = views[network][int(layer)]
            if kind == "weight":
                target[:, :, :-1] = parameters[name]
            else:
                target[:, :, -1] = parameters[name]

    def _read(self, flat: Array) -> Parameters:
        views, result = self._views(flat), {}
        for name in self._shapes:
            network, layer, kind = name.split(".")
            source = views[network][int(layer)]
            result[name] = (source[:, :, :-1] if kind == "weight" else source[:, :, -1]).copy()
        return result

    def _allocate(self, rows: int) -> None:
        """Buffers for batches of that many rows."""
        settings, members = self.settings, self._members
        width = latent_width(settings)
        self._rows = rows
        self._equal_share = np.empty((members, rows))
        self._z = np.empty((members, width, rows))
        self._estimation_input = np.ones((members, width + 1, rows), self._dtype)
        self._d_estimation_input = np.empty((members, width, rows), self._dtype)
        self._logits = np.empty((members, settings.n_components, rows), self._dtype)
        self._gamma = np.empty(self._logits.shape)
        self._mixture = MixtureTerm(members, settings.n_components, width, rows, self._ranks.sum)
        self._estimation = DenseStack(
            self._weights["estimation"], self._views(self._grad)["estimation"], rows
        )
        work = rows * self._flat.size
        parts = 2 if work >= SHARD_WORK and rows >= 2 else 1
        bounds = [rows * i // parts for i in range(parts + 1)]
        self._slices = [slice(a, b) for a, b in pairwise(bounds)]
        self._shard_grads = [self._grad] + [np.zeros_like(self._grad) for _ in range(parts - 1)]
        self._shards = [
            CompressionShard(
                self._x,
                self._width,
                self._square,
                self._weights["encoder"],
                self._weights["decoder"],
                self._views(grad)["encoder"],
                self._views(grad)["decoder"],
                settings,
                part.stop - part.start,
                self._z[:, :, part],
                self._path,
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
        """See `dagmm_model.engine.Engine.run`."""
        if order.shape[2] != self._rows:
            self._allocate(order.shape[2])
        losses = np.empty((order.shape[1], self._members, 4))
        rates = np.broadcast_to(learning_rates, order.shape[1])
        # One BLAS thread: threads of ours are not spun on while another program has the processor.
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
                self._clip()
                self._adam(float(rates[step]))
            self._pool = None
        return losses

    def _each_shard(self, work: Callable[[int], Float | None]) -> list[Float | None]:
        """Run work(i) for every shard, the last one in a thread where there are processors."""
        if self._pool is None:
            return [work(i) for i in range(len(self._shards))]
        other = self._pool.submit(work, len(self._shards) - 1)
        return [*(work(i) for i in range(len(self._shards) - 1)), other.result()]

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
        losses = self._each_shard(
            lambda i: self._shards[i].forward(rows[:, parts[i]], share[:, parts[i]])
        )
        result = np.zeros((self._members, 4))
        result[:, 1] = sum(loss for loss in losses if loss is not None)
        if settings.mixes:
            result[:, 2], result[:, 3] = self._mixture_term(share, dropout, part)
        d_z = self._mixture.d_z  # zeros where there is no mixture
        if not settings.freeze_compression:
            self._each_shard(lambda i: self._shards[i].backward(d_z[:, :, parts[i]]))
            for grad in self._shard_grads[1:]:
                self._grad += grad
        if not self._ranks.alone:
            self._add_up(result)
        lambdas = settings.lambda_reconstruction, settings.lambda_energy, settings.lambda_penalty
        result[:, 0] = result[:, 1:] @ lambdas
        return result

    def _add_up(self, losses: Float) -> None:
        """Gradients, and the losses that are sums over rows, of all ranks, in one message."""
        message = np.concatenate([self._grad, losses[:, 1:3]], axis=1, dtype=np.float64)
        self._ranks.sum(message)
        self._grad[...] = message[:, :-2]
        losses[:, 1:3] = message[:, -2:]

    def _mixture_term(
        self, share: Float, dropout: Sequence[np.random.Generator], part: Part
    ) -> tuple[Float, Float]:
        """Energy and penalty of the latent rows ``self._z``.

        Leaves the estimation network's gradients in the buffers, those by z in the mixture's.
        """
        settings = self.settings
        share = share[:, None]
        z = self._z
        if settings.latent_scaling == "standardised":
            total = self._ranks.sum
            z = z - total(np.matmul(z, share.swapaxes(1, 2)))
            variance = total(np.matmul(z**2, share.swapaxes(1, 2)))
            scale = np.sqrt(variance + LATENT_VARIANCE_FLOOR)
            z /= scale
        self._estimation_input[:, :-1] = z
        masks = None
        if settings.dropout > 0:
            masks = dropout_masks(
                dropout, self._rows, settings.estimation_widths, settings.dropout, self._dtype, part
            )
        self._estimation.forward(self._estimation_input, self._logits, masks)
        gamma = self._gamma
        np.subtract(self._logits, self._logits.max(axis=1, keepdims=True), out=gamma)
        np.exp(gamma, out=gamma)
        gamma /= gamma.sum(axis=1, keepdims=True)
        energy, penalty = self._energy(z, gamma, share)
        self._mixture.backward(settings.lambda_energy, settings.lambda_penalty)
        # softmax, estimation network
        d_gamma = self._mixture.d_gamma
        d_gamma -= (d_gamma * gamma).sum(axis=1, keepdims=True)
        d_gamma *= gamma
        np.copyto(self._logits, d_gamma, casting="same_kind")
        self._estimation.backward(self._logits, self._d_estimation_input)
        d_z = self._mixture.d_z
        d_z += self._d_estimation_input
        if settings.latent_scaling == "standardised":
            push, pull = self._ranks.sum(
                np.stack([d_z.sum(axis=2, keepdims=True), (d_z * z).sum(axis=2, keepdims=True)])
            )
            d_z -= share * (push + z * pull)
            d_z /= scale
        return energy, penalty

    def _energy(self, z: Float, gamma: Float, share: Float) -> tuple[Float, Float]:
        """Energy and penalty; jitter is raised until the covariances are positive definite."""
        while True:
            try:
                return self._mixture.forward(
                    z,
                    gamma,
                    share,
                    self.jitter,
                    variational=self.settings.mixture_term == "variational",
                    centred=self.settings.latent_scaling == "standardised",
                )
            except np.linalg.LinAlgError:
                covariance = self._mixture.covariance
                raised = None
                if np.isfinite(covariance).all():
                    raised = raised_jitter(self.jitter, singular(covariance))
                if raised is None:
                    nothing = np.full(self._members, np.nan)
                    return nothing, nothing  # reported as divergence by the caller
                self.jitter = raised

    def _clip(self) -> None:
        limit = self.settings.gradient_clip
        if limit is not None:
            norm = np.sqrt(np.vecdot(self._grad.astype(np.float64), self._grad))
            factor = np.minimum(limit / (norm + 1e-12), 1.0).astype(self._dtype)
            self._grad *= factor[:, None]

    def _adam(self, learning_rate: float) -> None:
        """Adam (Kingma and Ba, 2015), bias-corrected, over all parameters at once."""
        self._steps += 1
        size = learning_rate / (1.0 - BETAS[0] ** self._steps)
        root = (1.0 - BETAS[1] ** self._steps) ** 0.5
        grad, scratch = self._grad, self._scratch
        self._first *= BETAS[0]
        np.multiply(grad, 1.0 - BETAS[0], out=scratch)
        self._first += scratch
        self._second *= BETAS[1]
        np.multiply(grad, grad, out=scratch)
        scratch *= 1.0 - BETAS[1]
        self._second += scratch
        np.sqrt(self._second, out=scratch)
        scratch *= 1.0 / root
        scratch += EPSILON
        np.divide(self._first, scratch, out=scratch)
        scratch *= size
        self._flat -= scratch

    def parameters(self) -> Parameters:
        """See `dagmm_model.engine.Engine.parameters`."""
        result = self._read(self._flat)
        if self._path is not None:
            result["path.down"], result["path.up"] = (part.copy() for part in self._path)
        return result

    def parameter_gradients(self) -> Parameters:
        """Gradients that the last step left, under the parameters' names."""
        return self._read(self._grad)

    def finite(self) -> bool:
        """See `dagmm_model.engine.Engine.finite`."""
        return bool(np.isfinite(self._flat).all())

    def state(self) -> dict[str, NDArray[np.generic]]:
        """See `dagmm_model.engine.Engine.state`."""
        tables: dict[str, NDArray[np.generic]] = {n: t.copy() for n, t in self._tables().items()}
        return tables | {"steps": np.array(self._steps), "jitter": self.jitter.copy()}

    def load(self, state: dict[str, NDArray[np.generic]]) -> None:
        """See `dagmm_model.engine.Engine.load`."""
        self._steps = int(state["steps"])
        self.jitter[:] = state["jitter"]
        for name, table in self._tables().items():
            table[...] = state[name]

    def _tables(self) -> dict[str, Array]:
        return {"parameters": self._flat, "first": self._first, "second": self._second}

    def mixture(self) -> tuple[Float, Float] | None:
        """See `dagmm_model.engine.Engine.mixture`."""
        if not self.settings.mixes:
            return None
        return self._mixture.phi.copy(), self._mixture.covariance.copy()
