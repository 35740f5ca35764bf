"""A training step's losses and gradients in three kernels, for the paper's kind of settings.

    triton_networks.forward     z, gamma and squared errors of every row
    triton_mixture.mixture_term the losses, and their gradients by z and gamma
    triton_networks.backward    gradients by the parameters, of sixteen rows each

Equals autograd of `dagmm_model.networks.objective`. At DAGMM's widths autograd's step is 320
kernels of two microseconds each, however little there is to compute.
"""

import importlib.util
import os
import shutil
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from dagmm_model.engines.torch.weights import Weights
from dagmm_model.mixture.equations import BatchMixture
from dagmm_model.networks.compression import FEATURES
from dagmm_model.networks.settings import DagmmSettings

WARPS = 8
"""Of a program of the networks, and of the mixture; measured on an H100."""

WIDEST = 1024
"""Columns that a program's registers hold."""

LARGEST = 2048
"""Rows of a batch that the mixture's program holds."""

LATENT = 5
"""Dimensions of z up to which its matrices are scalars in registers."""


def unsupported(settings: DagmmSettings, columns: int) -> str:
    """Why these kernels cannot run a training's steps; empty where they can.

    Args:
        settings: of the training.
        columns: D of the rows.
    """
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "Triton needs a C compiler: gcc, clang or what CC names"
    plain = {
        "masking": 0.0,
        "linear_path": "none",
        "wide_code": 0,
        "latent_scaling": "none",
        "mixture_term": "energy",
        "freeze_compression": False,
    }
    for name, value in plain.items():
        if getattr(settings, name) != value:
            return f"its kernels are for {name}={value!r}"
    if not settings.mixes:
        return "its kernels are for an objective with a mixture"
    if max(columns, *settings.encoder_widths, *settings.estimation_widths) > WIDEST:
        return f"its kernels are for layers of at most {WIDEST} units"
    if settings.batch_size > LARGEST:
        return f"its kernels are for batches of at most {LARGEST} rows"
    latent = settings.encoder_widths[-1] + len(FEATURES[settings.reconstruction_features])
    if latent > LATENT:
        return f"its kernels are for at most {LATENT} latent dimensions"
    return ""


class TritonStep:
    """The kernels of one training.

    Args:
        weights: of all members, float32.
        settings: of the training, which `unsupported` has nothing against.
    """

    def __init__(self, weights: Weights, settings: DagmmSettings) -> None:
        self._weights, self._settings = weights, settings
        matrices = [shape for shape in weights.shapes.values() if len(shape) == 2]
        inputs, outputs = zip(*matrices, strict=True)
        sizes = [(i + 1) * o for i, o in matrices]
        compressing = 2 * len(settings.encoder_widths)
        self._latent, self._components = inputs[compressing], outputs[-1]
        before = [0] * (compressing + 1)
        before += accumulate(settings.estimation_widths[:-1], initial=0)
        self._networks: dict[str, Any] = {
            "IN": inputs,
            "OUT": outputs,
            "PIN": tuple(_padded(width, 16) for width in inputs),
            "POUT": tuple(_padded(width, 16) for width in outputs),
            "AT": tuple(accumulate(sizes[:-1], initial=0)),
            "BEFORE": tuple(before),
            "LAYERS": len(matrices),
            "SIZE": sum(sizes),
            "E": len(settings.encoder_widths),
            "KIND": settings.reconstruction_features,
            "UNITS": sum(settings.estimation_widths) if settings.dropout > 0 else 0,
        }
        self._row_scale = 1.0
        if settings.reconstruction_reduction == "mean":
            self._row_scale /= inputs[0]

    def __call__(
        self,
        x: Tensor,
        weight: Tensor,
        order: Tensor,
        position: Tensor,
        jitter: Tensor,
        masks: Tensor,
    ) -> tuple[Tensor, Tensor, BatchMixture]:
        """Losses ``(S, 4)``, gradient ``(S, size)`` and the mixture of the step at `position`.

        Args:
            x: ``(m, D)`` all rows, float32.
            weight: ``(m,)`` float64.
            order: ``(steps, S, n)`` int32.
            position: ``(1,)`` int64.
            jitter: ``(steps, S, 1)`` float64.
            masks: ``(steps, S, n, units)`` float32 dropout factors.
        """
        from dagmm_model.engines.torch import triton_mixture, triton_networks

        _, members, n = order.shape
        latent, components = self._latent, self._components
        flat = self._weights.flat.detach()
        new = partial(torch.empty, dtype=torch.float64, device=x.device)
        z, d_z = (new((members, n, latent)) for _ in range(2))
        gamma, d_gamma = (new((members, n, components)) for _ in range(2))
        error, share = (new((members, n)) for _ in range(2))
        losses = new((members, 4))
        phi = new((members, components))
        mu = new((members, components, latent))
        covariance = new((members, components, latent, latent))
        rows = triton_networks.ROWS
        tiles = -(-n // rows)
        parts = new((members, tiles, self._networks["SIZE"]), dtype=x.dtype, device=x.device)
        batch = (x, order, position, flat, masks)
        options = {**self._networks, "R": rows, "num_warps": WARPS}
        triton_networks.forward[(tiles, members)](*batch, z, gamma, error, n, members, **options)
        triton_mixture.mixture_kernel[(members,)](
            z, gamma, error, weight, order, position, jitter, share, d_z, d_gamma, losses,
            phi, mu, covariance, n, members,
            self._settings.lambda_reconstruction, self._settings.lambda_energy,
            self._settings.lambda_penalty, self._row_scale,
            N=_padded(n, 32), L=latent, K=components, num_warps=WARPS,
        )  # fmt: skip
        scale = self._settings.lambda_reconstruction * self._row_scale
        triton_networks.backward[(tiles, members)](
            *batch, share, d_z, d_gamma, parts, n, members, scale, **options
        )
        return losses, parts.sum(1), BatchMixture(phi, mu, covariance)


def _padded(width: int, least: int) -> int:
    """The next power of two."""
    return max(least, 1 << (width - 1).bit_length())
