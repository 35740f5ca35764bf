"""The objective's terms for rows that are not trained on, while a training goes on.

They are taken as an epoch begins, for the first time with the weights as they were drawn, and in
the way of the training's own: in batches, with hidden columns and dropout. Nothing depends on them.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dagmm_model.engines.choice import Device, make_engine
from dagmm_model.engines.interface import TERMS
from dagmm_model.mixture.mixture import JitterWarning
from dagmm_model.networks.network import Parameters, streams
from dagmm_model.networks.settings import DagmmSettings

TIMES = 20
"""Epochs of a training at which they are taken, beside its last."""
MOST_ROWS = 2_000
"""Rows that they are taken of; with `TIMES` this bounds what they cost, whatever the table."""

Losses = Mapping[str, float]
Held = Callable[[Parameters], Losses]


def held_losses(x: NDArray[np.floating], settings: DagmmSettings, seeds: Sequence[int]) -> Held:
    """What takes the terms of rows under given parameters, as the mean over members and batches.

    The hidden columns and the dropout are the same each time, so that only the parameters differ.

    Args:
        x: ``(m, D)`` scaled rows; of more than `MOST_ROWS` some are chosen.
        settings: of the training.
        seeds: of its members.
    """
    chosen = np.random.default_rng(0).permutation(len(x))[:MOST_ROWS]
    rows = np.ascontiguousarray(x[chosen])
    size = min(settings.batch_size, len(rows))
    order = np.arange(len(rows) // size * size).reshape(1, -1, size)

    def take(parameters: Parameters) -> Losses:
        engine = make_engine("numpy", Device("cpu", ""), rows, None, parameters, settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", JitterWarning)  # a matter of these batches alone
            losses = engine.run(
                order.repeat(len(seeds), 0), 0.0, [streams(seed)[2] for seed in seeds]
            )
        means = losses.mean(axis=(0, 1))
        names = TERMS if settings.mixes else TERMS[:2]
        return {n: float(v) for n, v in zip(names, means, strict=False) if np.isfinite(v)}

    return take


def is_taken(epoch: int, epochs: int) -> bool:
    """Whether they are taken at the beginning of an epoch, counted from 0."""
    return epoch % -(-epochs // TIMES) == 0 or epoch == epochs - 1
