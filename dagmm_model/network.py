"""Shapes and starting values of the networks' parameters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dagmm_model.compression import FEATURES
from dagmm_model.presets import Settings

Parameters = dict[str, NDArray[np.floating]]


def latent_width(settings: Settings) -> int:
    """Coordinates L of z: the code and the reconstruction features."""
    return settings.encoder_widths[-1] + len(FEATURES[settings.reconstruction_features])


def shapes(settings: Settings, n_features: int) -> dict[str, tuple[int, ...]]:
    """Shape of each parameter of one member, weights as ``(out, in)``, in a fixed order."""
    encoder = (n_features, *settings.encoder_widths)
    decoder = encoder[::-1]
    estimation = (latent_width(settings), *settings.estimation_widths, settings.n_components)
    result: dict[str, tuple[int, ...]] = {}
    for network, widths in (("encoder", encoder), ("decoder", decoder), ("estimation", estimation)):
        for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
            result[f"{network}.{i}.weight"] = (fan_out, fan_in)
            result[f"{network}.{i}.bias"] = (fan_out,)
    return result


def initialise(settings: Settings, n_features: int, seeds: Sequence[int]) -> Parameters:
    """Starting parameters, float32, with a leading axis of one member for each seed.

    Weights are uniform after Glorot and Bengio (2010), biases 0. A member's values depend on its
    own seed alone, not on the other members.
    """
    table = shapes(settings, n_features)
    members: list[Parameters] = []
    for seed in seeds:
        generator = streams(seed)[0]
        values: Parameters = {}
        for name, shape in table.items():
            if len(shape) == 2:
                limit = np.sqrt(6.0 / sum(shape))
                values[name] = generator.uniform(-limit, limit, shape).astype(np.float32)
            else:
                values[name] = np.zeros(shape, np.float32)
        members.append(values)
    return {name: np.stack([member[name] for member in members]) for name in table}


def streams(seed: int) -> tuple[np.random.Generator, np.random.Generator, np.random.Generator]:
    """Independent generators of one member: starting values, shuffling, dropout."""
    first, second, third = np.random.SeedSequence(seed).spawn(3)
    return (
        np.random.default_rng(first),
        np.random.default_rng(second),
        np.random.default_rng(third),
    )
