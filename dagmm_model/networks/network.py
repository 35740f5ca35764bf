"""Shapes and starting values of the networks' parameters."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.base.settings import SettingsError
from dagmm_model.networks.compression import FEATURES
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.tables.scaling import covariance_of, principal_axes

Parameters = dict[str, NDArray[np.floating]]


def latent_width(settings: DagmmSettings) -> int:
    """Coordinates L of z: the code and the reconstruction features."""
    return settings.encoder_widths[-1] + len(FEATURES[settings.reconstruction_features])


def shapes(settings: DagmmSettings, n_features: int) -> dict[str, tuple[int, ...]]:
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


def trained(name: str, settings: DagmmSettings) -> bool:
    """Whether the objective moves a parameter of that name."""
    network = name.split(".")[0]
    if network == "estimation":
        return settings.mixes
    return network != "path" and not settings.freeze_compression


def initialise(
    settings: DagmmSettings,
    n_features: int,
    seeds: Sequence[int],
    x: NDArray[np.floating] | None = None,
    statistics: tuple[Float, Float] | None = None,
) -> Parameters:
    """Starting parameters, float32, with a leading axis of one member for each seed.

    A member's values depend on its own seed alone, not on the other members. With a linear path the
    last layers of encoder and decoder start at 0, so that the compression network starts as the
    principal components.

    Args:
        settings: of the networks.
        n_features: columns D.
        seeds: of the members.
        x: ``(n, D)`` scaled training rows, needed for the linear path.
        statistics: or their mean ``(D,)`` and covariance ``(D, D)``.
    """
    members = [_drawn(settings, n_features, streams(seed)[0]) for seed in seeds]
    if settings.linear_path == "pca":
        if statistics is None and x is not None:
            statistics = covariance_of(x.__getitem__, *x.shape)
        if statistics is None:
            raise ValueError("linear_path='pca' needs the training rows; give x=")
        path = _principal_path(settings, *statistics)
        for member in members:
            member.update(path)
    return {name: np.stack([member[name] for member in members]) for name in members[0]}


def _drawn(settings: DagmmSettings, n_features: int, generator: np.random.Generator) -> Parameters:
    """Starting values of one member, by the rule of the settings."""
    values: Parameters = {}
    fan_in, limit = settings.initial_weights == "fan_in", 0.0
    for name, shape in shapes(settings, n_features).items():
        weight = len(shape) == 2
        if weight:  # its bias comes next
            limit = shape[1] ** -0.5 if fan_in else np.sqrt(6.0 / sum(shape))
        drawn = generator.uniform(-limit, limit, shape) if weight or fan_in else np.zeros(shape)
        values[name] = drawn.astype(np.float32)
    return values


def _principal_path(settings: DagmmSettings, mean: Float, covariance: Float) -> Parameters:
    """The fixed linear path and the last layers that go with it, of one member."""
    width, code = len(mean), settings.encoder_widths[-1]
    if code > width:
        raise SettingsError(
            f"encoder_widths={settings.encoder_widths}: a code of {code} is wider than the "
            f"{width} columns, which linear_path='pca' does not allow; narrow the code"
        )
    variances, axes = principal_axes(covariance)
    deviations, axes = np.sqrt(np.maximum(variances[:code], 1e-9)), axes[:, :code]
    down, up = (axes / deviations).T, axes * deviations
    last = len(settings.encoder_widths) - 1
    values = {
        "path.down": down,
        "path.up": up,
        f"encoder.{last}.weight": np.zeros((code, (width, *settings.encoder_widths)[last])),
        f"encoder.{last}.bias": -down @ mean,
        f"decoder.{last}.weight": np.zeros((width, (width, *settings.encoder_widths)[1])),
        f"decoder.{last}.bias": mean,
    }
    return {name: value.astype(np.float32) for name, value in values.items()}


def streams(seed: int) -> list[np.random.Generator]:
    """Independent generators of one member: starting values, shuffling, dropout."""
    return [np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(3)]
