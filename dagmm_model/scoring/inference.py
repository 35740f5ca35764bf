"""From scaled rows to energies in float64 NumPy: no torch, no dependence on the batch.

A row's energy is computed in float64 throughout, so it does not depend on the rows it is scored
with beyond the last digits (relative 1e-10, whatever the condition of the covariances).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float, Rows
from dagmm_model.base.checkpoint import under
from dagmm_model.base.processors import each_chunk
from dagmm_model.base.settings import from_json
from dagmm_model.mixture.mixture import Mixture
from dagmm_model.networks.compression import compress
from dagmm_model.networks.network import Parameters
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.scoring.masked import MaskedNetwork, log_error
from dagmm_model.tables.scaling import Scaler

STATISTICS = ("latent_mean", "latent_scale", "energy_mean", "energy_scale")
MIXTURE = ("phi", "mu", "sigma")


@dataclass(frozen=True)
class Scorer:
    """What is needed to score scaled rows.

    Attributes:
        settings: of the detector.
        parameters: of the S members, each ``(S, ...)``.
        latent_mean: ``(S, L)`` and
        latent_scale: ``(S, L)`` taken off and divided by where the latent is standardised.
        mixtures: one for each member; none where the score is the reconstruction error.
        energy_mean: ``(S,)`` and
        energy_scale: ``(S,)`` of the members' energies over the training rows.
        typical: ``(S, D)`` mean squared error of each hidden column over the training rows; None
            where no column is hidden.
    """

    settings: DagmmSettings
    parameters: Parameters
    latent_mean: Float
    latent_scale: Float
    mixtures: tuple[Mixture, ...]
    energy_mean: Float
    energy_scale: Float
    typical: Float | None = None

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Its arrays for disk, as `from_arrays` takes them."""
        arrays = {name: getattr(self, name) for name in STATISTICS}
        if self.typical is not None:
            arrays["typical"] = self.typical
        for s, mixture in enumerate(self.mixtures):  # they may keep different numbers of components
            arrays |= {f"mixture.{s}.{part}": getattr(mixture, part) for part in MIXTURE}
        return arrays | {f"parameter.{name}": value for name, value in self.parameters.items()}

    @classmethod
    def from_arrays(
        cls, settings: DagmmSettings, jitter: Sequence[float], arrays: Mapping[str, NDArray[Any]]
    ) -> Self:
        """The scorer of what `to_arrays` gave, among other arrays, and each mixture's jitter."""
        mixtures = tuple(
            Mixture(**{part: arrays[f"mixture.{s}.{part}"] for part in MIXTURE}, jitter=one)
            for s, one in enumerate(jitter)
        )
        statistics = {name: arrays[name] for name in STATISTICS}
        parameters, typical = under("parameter.", arrays), arrays.get("typical")
        return cls(settings, parameters, mixtures=mixtures, typical=typical, **statistics)

    @cached_property
    def double(self) -> dict[str, Float]:
        """The parameters in double precision."""
        return {name: value.astype(np.float64) for name, value in self.parameters.items()}

    @property
    def reconstructing(self) -> int:
        """Number of members, the first ones, whose reconstruction says something about a row.

        A wide code leaves little or nothing to reconstruct.
        """
        return len(self.latent_mean) - (self.settings.wide() is not None)

    def latent(self, x: Rows) -> Float:
        """Latent rows ``(S, n, L)`` as the mixture sees them, of scaled rows ``(n, D)``."""
        members, width = self.latent_mean.shape
        out = np.empty((members, len(x), width))

        def one(part: slice) -> None:
            rows = np.asarray(x[part], dtype=np.float64)
            plain = self.typical is None
            out[:, part] = (self.compress(rows) if plain else self.latent_and_errors(rows))[0]

        each_chunk(one, len(x))
        return out

    @cached_property
    def _masked(self) -> MaskedNetwork:
        return MaskedNetwork(self.double)

    def latent_and_errors(self, x: Float) -> tuple[Float, Float]:
        """`latent`, and squared errors of each column ``(S, n, D)``, of a few scaled rows."""
        if self.typical is None:
            z, x_hat = self.compress(x)
            return z, (x_hat - x) ** 2
        codes, errors = self._masked.codes_and_errors(x)
        z = np.concatenate([codes, log_error(errors, self.typical)[..., None]], axis=2)
        z -= self.latent_mean[:, None]
        z /= self.latent_scale[:, None]
        return z, errors

    def energies_of(self, z: Float) -> Float:
        """Energies ``(S, n)`` of latent rows ``(S, n, L)``."""
        return np.stack([m.energy(rows) for m, rows in zip(self.mixtures, z, strict=True)])

    def member_energies(self, x: Rows) -> Float:
        """Energy of each scaled row under each member, ``(S, n)``.

        Where the settings say so, it is the squared reconstruction error of the scaled row.
        """
        if self.settings.criterion == "reconstruction":
            return self.reconstruction_errors(x)
        return self.energies_of(self.latent(x))

    def energy(self, x: Rows) -> Float:
        """The detector's energy of scaled rows ``(n, D)``: ``(n,)``."""
        return self.together(self.member_energies(x))

    def together(self, energies: Float) -> Float:
        """The members' energies ``(S, n)`` as the detector's ``(n,)``.

        Of one member its energy; of several, the mean of their energies, each standardised by its
        mean and standard deviation over the training rows.
        """
        if len(energies) == 1:
            first: Float = energies[0]
            return first
        standardised = (energies - self.energy_mean[:, None]) / self.energy_scale[:, None]
        result: Float = standardised.mean(axis=0)
        return result

    def reconstruction_errors(self, x: Rows) -> Float:
        """Squared reconstruction error of each scaled row by each member, ``(S, n)``.

        Where columns are hidden, of those.
        """
        out = np.empty((len(self.latent_mean), len(x)))

        def one(part: slice) -> None:
            if self.typical is None:
                error = self.compress(x[part])[1] - x[part]
                out[:, part] = np.vecdot(error, error)
            else:
                rows = np.asarray(x[part], dtype=np.float64)
                out[:, part] = self._masked.errors(rows).sum(axis=2)

        each_chunk(one, len(x))
        return out

    def compress(self, x: Rows) -> tuple[Float, Float]:
        """Latent rows ``(S, n, L)`` as the mixture sees them, and reconstructions ``(S, n, D)``."""
        batch = np.asarray(x, dtype=np.float64)[None]
        z, x_hat = compress(np, self.double, batch, self.settings.reconstruction_features)
        return (z - self.latent_mean[:, None]) / self.latent_scale[:, None], x_hat


ScaledScorer = tuple[Scaler, Scorer]
"""A scorer with what scales the rows that it gets."""


def state_of(scaled: ScaledScorer) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """JSON-able values and arrays for disk, as `from_state` takes them."""
    scaler, scorer = scaled
    values = {
        "settings": asdict(scorer.settings),
        "scaler": scaler.kind,
        "jitter": [mixture.jitter for mixture in scorer.mixtures],
    }
    return values, scorer.to_arrays() | scaler.to_arrays()


def from_state(values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> ScaledScorer:
    """Scaler and scorer of what `state_of` gave, among other values and arrays."""
    settings = from_json(DagmmSettings, values["settings"])
    scorer = Scorer.from_arrays(settings, values["jitter"], arrays)
    return Scaler.from_arrays(values["scaler"], arrays), scorer
