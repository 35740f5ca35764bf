"""From scaled rows to energies in float64 NumPy: no torch, no dependence on the batch.

A row's energy is computed in float64 throughout, so it does not depend on the rows it is scored
with beyond the last digits (relative 1e-10, whatever the condition of the covariances).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.processors import chunks, each_chunk, in_threads
from dagmm_model.mixture.em import mixture_by_em
from dagmm_model.mixture.mixture import Mixture, latent_scale
from dagmm_model.mixture.moments import Moments
from dagmm_model.mixture.selection import select
from dagmm_model.networks.compression import compress
from dagmm_model.networks.estimation import membership, membership_logits
from dagmm_model.networks.network import Parameters, latent_width
from dagmm_model.networks.settings import Settings
from dagmm_model.scoring.masked import MaskedNetwork, log_error

Float = NDArray[np.float64]
Rows = NDArray[np.floating]

STATISTICS = ("latent_mean", "latent_scale", "energy_mean", "energy_scale")


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

    settings: Settings
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
            arrays[f"mixture.{s}.phi"] = mixture.phi
            arrays[f"mixture.{s}.mu"] = mixture.mu
            arrays[f"mixture.{s}.sigma"] = mixture.sigma
        return arrays | {f"parameter.{name}": value for name, value in self.parameters.items()}

    @classmethod
    def from_arrays(
        cls, settings: Settings, jitter: Sequence[float], arrays: Mapping[str, NDArray[Any]]
    ) -> Scorer:
        """The scorer of what `to_arrays` gave, among other arrays.

        Args:
            settings: of the detector.
            jitter: relative jitter of each mixture.
            arrays: from disk.
        """
        parameters = {
            name.removeprefix("parameter."): array
            for name, array in arrays.items()
            if name.startswith("parameter.")
        }
        mixtures = tuple(
            Mixture(
                arrays[f"mixture.{s}.phi"],
                arrays[f"mixture.{s}.mu"],
                arrays[f"mixture.{s}.sigma"],
                one,
            )
            for s, one in enumerate(jitter)
        )
        latent_mean, latent_scale, energy_mean, energy_scale = (arrays[n] for n in STATISTICS)
        return cls(
            settings,
            parameters,
            latent_mean,
            latent_scale,
            mixtures,
            energy_mean,
            energy_scale,
            arrays.get("typical"),
        )

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
        z = raw_latent(self.double, self.settings, x, self.typical)
        result: Float = (z - self.latent_mean[:, None]) / self.latent_scale[:, None]
        return result

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


def raw_latent(
    parameters: dict[str, Float], settings: Settings, x: Rows, typical: Float | None = None
) -> Float:
    """Latent rows ``(S, n, L)`` before any standardisation, of scaled rows ``(n, D)``.

    Args:
        parameters: of the S members, float64.
        settings: of the detector.
        x: the rows.
        typical: see `Scorer`.
    """
    members = len(next(iter(parameters.values())))
    width = latent_width(settings) - settings.encoder_widths[-1]
    width += parameters["decoder.0.weight"].shape[2]  # with narrow members filled up, see `wide`
    out = np.empty((members, len(x), width))
    masked = None if typical is None else MaskedNetwork(parameters)

    def one(part: slice) -> None:
        rows = np.asarray(x[part], dtype=np.float64)
        if masked is None or typical is None:
            out[:, part] = compress(np, parameters, rows[None], settings.reconstruction_features)[0]
        else:
            out[:, part, :-1], errors = masked.codes_and_errors(rows)
            out[:, part, -1] = log_error(errors, typical)

    each_chunk(one, len(x))
    return out


def typical_errors(
    parameters: dict[str, Float],
    x: Callable[[slice], Rows],
    n: int,
    sample_weight: Float | None = None,
) -> Float:
    """Mean squared error ``(S, D)`` of each hidden column over n training rows.

    Args:
        parameters: of the S members, float64.
        x: gives the scaled rows of a slice.
        n: number of rows.
        sample_weight: ``(n,)`` or None.
    """
    masked = MaskedNetwork(parameters)
    weight = np.ones(n) if sample_weight is None else sample_weight
    parts = list(chunks(n))

    def one(part: slice) -> Float:
        errors = masked.errors(np.asarray(x(part), dtype=np.float64))
        total: Float = np.matmul(weight[part], errors)
        return total

    total = reduce(np.add, in_threads(one, parts))  # in the order of the parts
    result: Float = total / weight.sum()
    return result


def fit_scorer(
    parameters: Parameters,
    settings: Settings,
    jitter: Float,
    x: Callable[[slice], Rows],
    n: int,
    sample_weight: Float | None = None,
    seeds: Sequence[int] = (),
) -> Scorer:
    """The mixture of all training rows, dropout off, in float64 (paper, equation 5).

    There is none where the score is the reconstruction error.

    Args:
        parameters: of the trained members.
        settings: of the detector.
        jitter: ``(S,)`` relative jitter, the one used in training.
        x: gives the scaled rows of a slice.
        n: number of training rows.
        sample_weight: ``(n,)`` or None.
        seeds: one for each member, where the mixture begins anew.
    """
    double = {name: value.astype(np.float64) for name, value in parameters.items()}
    members, width = len(next(iter(double.values()))), latent_width(settings)
    typical = typical_errors(double, x, n, sample_weight) if settings.masking else None
    no_mean, no_scale = np.zeros((members, width)), np.ones((members, width))
    nothing = np.zeros(members)
    scorer = Scorer(settings, parameters, no_mean, no_scale, (), nothing, np.ones(members), typical)
    z, errors = np.empty((members, n, width)), np.empty((members, n))

    def one(part: slice) -> None:
        rows = np.asarray(x(part), dtype=np.float64)
        if typical is None:
            z[:, part], x_hat = compress(np, double, rows[None], settings.reconstruction_features)
            x_hat -= rows
            errors[:, part] = np.vecdot(x_hat, x_hat)
        else:
            z[:, part] = scorer.latent_and_errors(rows)[0]

    each_chunk(one, n)
    mean, scale = no_mean, no_scale
    if settings.latent_scaling == "standardised":
        mean = np.average(z, axis=1, weights=sample_weight)
        variance = np.average((z - mean[:, None]) ** 2, axis=1, weights=sample_weight)
        scale = latent_scale(variance)
        z = (z - mean[:, None]) / scale[:, None]
    mixtures: tuple[Mixture, ...] = ()
    energies = errors
    if settings.criterion == "energy":
        if settings.final_mixture == "em":
            mixtures = tuple(
                mixture_by_em(rows, settings.n_components, one, seed, sample_weight)
                for rows, one, seed in zip(z, jitter, seeds, strict=True)
            )
        else:
            mixtures = _mixtures_by_memberships(double, z, settings, jitter, sample_weight)
        energies = np.stack([m.energy(rows) for m, rows in zip(mixtures, z, strict=True)])
    centre = np.average(energies, axis=1, weights=sample_weight)
    spread = np.average((energies - centre[:, None]) ** 2, axis=1, weights=sample_weight)
    scale_of_energy = np.where(spread > 0, np.sqrt(spread), 1.0)
    return Scorer(settings, parameters, mean, scale, mixtures, centre, scale_of_energy, typical)


def _mixtures_by_memberships(
    parameters: dict[str, Float],
    z: Float,
    settings: Settings,
    jitter: Float,
    sample_weight: Float | None,
) -> tuple[Mixture, ...]:
    gamma = np.empty((*z.shape[:2], settings.n_components))
    for part in chunks(z.shape[1]):
        gamma[:, part] = membership(np, membership_logits(np, parameters, z[:, part]))

    def of_member(s: int) -> Mixture:
        return _final_mixture(z[s], gamma[s], settings, jitter[s], sample_weight)

    return tuple(in_threads(of_member, range(len(z))))


def _final_mixture(
    z: Float, gamma: Float, settings: Settings, jitter: float, sample_weight: Float | None
) -> Mixture:
    """The paper's mixture of all rows, or the one that the refinement selects."""
    if settings.refinement > 0:
        steps, overlap = settings.refinement, settings.overlap_weight
        return select(z, gamma, steps, jitter, sample_weight, overlap)
    parts = [
        Moments.of(z[part], gamma[part], None if sample_weight is None else sample_weight[part])
        for part in chunks(len(z))
    ]
    return reduce(Moments.merge, parts).mixture(jitter)
