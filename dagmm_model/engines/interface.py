"""What an engine is: it owns parameters and optimiser, and runs steps over given rows.

Two engines compute the same thing. `numpy.engine.NumpyEngine` is derived by hand and is the default
on a CPU; `torch.engine.TorchEngine` runs on a CPU and on a GPU, where it replays a captured step.
"""

import warnings
from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.distributed import Part
from dagmm_model.mixture.mixture import MAX_JITTER, JitterWarning
from dagmm_model.networks.network import Parameters

Scale = TypeVar("Scale", float, NDArray[np.float64])

TERMS = ("total", "reconstruction", "energy", "penalty")
"""Order of the terms on the last axis of the losses."""

BETAS = (0.9, 0.999)
"""Decay of Adam's moments."""

EPSILON = 1e-8
"""What Adam adds to the root of the second moment."""

PIECE = 256
"""Steps between two looks at the clock and two copies of the last good state."""


class Engine(Protocol):
    """A training engine for S members.

    It is made of scaled training rows ``(n, D)``, their weights ``(n,)`` or None, starting values
    of the parameters, each ``(S, ...)``, and settings. The networks compute in the type that it is
    given, the mixture in float64 in any case.
    """

    kind: str
    """Engines of one kind continue each other's states."""
    jitter: NDArray[np.float64]
    """``(S,)`` relative jitter in use; a member's is raised when a covariance of its mixture was
    not positive definite."""

    def run(
        self,
        order: NDArray[np.int64],
        learning_rates: NDArray[np.float64] | float,
        dropout: Sequence[np.random.Generator],
        part: Part | None = None,
    ) -> NDArray[np.float64]:
        """Run the steps of ``order`` ``(S, steps, batch)``, indices of each member's training rows.

        Of several ranks it has this one's rows, which lie in the batch of all as ``part`` says. A
        learning rate of Adam is for each step or for all; a generator of dropout, for each member,
        is in the same state on every rank.

        Returns:
            Losses ``(steps, S, 4)`` in the order of `TERMS`. The run ends early, with fewer steps,
            after the first step that is not finite.
        """

    def take(self, x: NDArray[np.floating]) -> None:
        """Rows ``(n, D)`` that take the place of those before, for training without weights."""

    def parameters(self) -> Parameters:
        """A copy of the parameters, each ``(S, ...)``."""

    def finite(self) -> bool:
        """Whether all parameters are finite after the last `run`."""

    def undo(self) -> None:
        """Back to before the last `run`."""

    def state(self) -> dict[str, NDArray[np.generic]]:
        """A copy of everything that changes in training, for `load`."""

    def load(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Continue from a `state`."""

    def mean_energies(self, x: NDArray[np.floating], criterion: str) -> NDArray[np.float64] | None:
        """Each member's mean energy ``(S,)`` of scaled rows ``(m, D)``, in float64.

        Under the mixture of all training rows by the memberships of the moment, or the
        reconstruction error, as the criterion says. None where the engine leaves it to
        `dagmm_model.scoring.final_mixture.fit_scorer`: one that is on the CPU itself, or a mixture
        that needs more jitter.
        """

    def mixture(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Phi ``(S, K)`` and jittered covariance ``(S, K, L, L)`` of the last step's batch.

        None where the objective has no mixture.
        """


def adam_scale(learning_rate: Scale, step: Scale) -> tuple[Scale, Scale]:
    """Adam's bias corrections at a step (1, 2, ...): of the step's size, of the root below it."""
    return learning_rate / (1.0 - BETAS[0] ** step), (1.0 - BETAS[1] ** step) ** 0.5


def raised_jitter(
    jitter: NDArray[np.float64], bad: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    """Jitter ``(S,)``, tenfold for the members that need it, with a warning.

    None where that would be more than `MAX_JITTER`: what fails then is reported as not finite.
    """
    raised = np.where(bad, np.maximum(jitter * 10.0, 1e-12), jitter)
    if raised.max() > MAX_JITTER:
        return None
    s = int(np.argmax(bad))
    warnings.warn(
        f"jitter raised from {jitter[s]:g} to {raised[s]:g} in training", JitterWarning, 5
    )
    return raised


def visible_columns(
    generators: Sequence[np.random.Generator],
    rows: int,
    width: int,
    most: float,
    dtype: type[np.floating],
    part: Part,
) -> NDArray[np.floating]:
    """Which columns the encoder sees in one step, ``(S, rows, D)`` of 1 and 0.

    Of each row, a share that is uniform between 0 and ``most`` is hidden. As `dropout_masks`, they
    are drawn for the batch of all ranks.
    """
    here = slice(part.start, part.start + rows)
    visible = np.ones((len(generators), rows, width), dtype)
    for s, (generator, out) in enumerate(zip(generators, visible, strict=True)):
        count = part.batch if part.each is None else part.each[s]
        share = most * generator.random((count, 1), dtype=np.float32)
        seen = (generator.random((count, width), dtype=np.float32) >= share)[here]
        out[: len(seen)] = seen
    return visible


def dropout_masks(
    generators: Sequence[np.random.Generator],
    rows: int,
    widths: Sequence[int],
    rate: float,
    dtype: type[np.floating],
    part: Part,
) -> list[NDArray[np.floating]]:
    """Dropout factors of one step, ``(S, width, rows)`` for each hidden layer, kept ones scaled.

    They are drawn for the batch of all ranks, so that a row's do not depend on who has it.
    """
    masks = []
    for width in widths:
        mask = np.zeros((len(generators), width, part.batch), np.float32)
        for s, (generator, values) in enumerate(zip(generators, mask, strict=True)):
            if part.each is None:
                generator.random(dtype=np.float32, out=values)
            else:
                values[:, : part.each[s]] = generator.random((width, part.each[s]), np.float32)
        np.greater_equal(mask, np.float32(rate), out=mask)
        mask *= np.float32(1.0 / (1.0 - rate))
        masks.append(mask[:, :, part.start : part.start + rows].astype(dtype, copy=False))
    return masks
