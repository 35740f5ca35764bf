"""What an engine is: it owns parameters and optimiser, and runs steps over given rows.

Three engines compute the same thing. `engine_numpy.NumpyEngine` is derived by hand and is the
default on a CPU; `engine_cuda.CudaEngine` replays a captured step and is the default on a GPU;
`engine_torch.TorchEngine` is the readable autograd reference and runs on either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dagmm_model.network import Parameters

TERMS = ("total", "reconstruction", "energy", "penalty")
"""Order of the terms on the last axis of the losses."""


class Engine(Protocol):
    """A training engine for S members."""

    jitter: float
    """Relative jitter in use; raised when a covariance was not positive definite."""

    def run(
        self,
        order: NDArray[np.int64],
        learning_rates: NDArray[np.float64] | float,
        dropout: Sequence[np.random.Generator],
    ) -> NDArray[np.float64]:
        """Run the steps of ``order`` ``(S, steps, batch)``, indices of training rows.

        Args:
            order: rows of each step for each member.
            learning_rates: of Adam, for each step or one for all.
            dropout: a generator for each member.

        Returns:
            Losses ``(steps, S, 4)`` in the order of `TERMS`. The run ends early, with fewer steps,
            after the first step that is not finite.
        """

    def parameters(self) -> Parameters:
        """A copy of the parameters, each ``(S, ...)``."""

    def state(self) -> dict[str, NDArray[np.generic]]:
        """A copy of everything that changes in training, for `load`."""

    def load(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Continue from a `state`."""

    def mixture(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Phi ``(S, K)`` and jittered covariance ``(S, K, L, L)`` of the last step's batch.

        None where the objective has no mixture.
        """


def dropout_masks(
    generators: Sequence[np.random.Generator],
    rows: int,
    widths: Sequence[int],
    rate: float,
    dtype: type[np.floating],
) -> list[NDArray[np.floating]]:
    """Dropout factors of one step, ``(S, width, rows)`` for each hidden layer, kept ones scaled."""
    masks = []
    for width in widths:
        mask = np.empty((len(generators), width, rows), np.float32)
        for generator, part in zip(generators, mask, strict=True):
            generator.random(dtype=np.float32, out=part)
        np.greater_equal(mask, np.float32(rate), out=mask)
        mask *= np.float32(1.0 / (1.0 - rate))
        masks.append(mask.astype(dtype, copy=False))
    return masks
