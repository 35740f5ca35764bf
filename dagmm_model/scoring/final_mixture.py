"""The final mixture and the statistics of a scorer, from all training rows (paper, equation 5)."""

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np

from dagmm_model.base.arrays import Float, Rows
from dagmm_model.base.processors import chunks, each_chunk, in_threads
from dagmm_model.mixture.mixture import Mixture, latent_scale
from dagmm_model.mixture.moments import Moments
from dagmm_model.mixture.selection import mixture_by_em, select
from dagmm_model.networks.compression import membership, membership_logits
from dagmm_model.networks.network import Parameters, latent_width
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.scoring.inference import Scorer
from dagmm_model.scoring.masked import MaskedNetwork


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
    settings: DagmmSettings,
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
        seeds: one for each member, whose mixture is fitted again.
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
            z[:, part], x_hat = scorer.compress(rows)
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
    settings: DagmmSettings,
    jitter: Float,
    sample_weight: Float | None,
) -> tuple[Mixture, ...]:
    gamma = np.empty((*z.shape[:2], settings.n_components))
    for part in chunks(z.shape[1]):
        gamma[:, part] = membership(np, membership_logits(np, parameters, z[:, part]))

    def of_member(s: int) -> Mixture:
        """The paper's mixture of all rows, or the one that the refinement selects."""
        if settings.refinement > 0:
            steps, overlap = settings.refinement, settings.overlap_weight
            return select(z[s], gamma[s], steps, jitter[s], sample_weight, overlap)
        moments = (
            Moments.of(z[s, p], gamma[s, p], None if sample_weight is None else sample_weight[p])
            for p in chunks(z.shape[1])
        )
        return reduce(Moments.merge, moments).mixture(jitter[s])

    return tuple(in_threads(of_member, range(len(z))))
