"""What a detector takes from all streamed rows, in a pass for each: the scaler, and the scorer.

Moments and extremes are of all rows; quartiles, and the choice of the mixture, of a sample.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from dagmm_model.base.arrays import Float, Rows
from dagmm_model.base.distributed import Ranks
from dagmm_model.base.processors import in_threads
from dagmm_model.mixture.mixture import Mixture, latent_scale
from dagmm_model.mixture.moments import Moments
from dagmm_model.mixture.selection import (
    PRIOR_ROWS,
    ROWS,
    choose_mixture,
    evenly,
    mixture_by_em,
    padded,
)
from dagmm_model.networks.compression import membership, membership_logits
from dagmm_model.networks.network import Parameters, latent_width
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.scoring.inference import Scorer
from dagmm_model.scoring.masked import MaskedNetwork
from dagmm_model.tables.scaling import (
    QUARTILES,
    STANDARD_AFTER,
    WHITENING,
    Scaler,
    Values,
    centre_and_scale,
    rotated,
    standardised,
)
from dagmm_model.training.streaming import RowGroups, moments_of

Statistics = tuple[Float, Float]
"""Mean ``(D,)`` and covariance ``(D, D)``."""


def whole(rows: Rows) -> Moments:
    """Moments of all rows as one component: their mean, and covariance times their number."""
    return Moments.of(np.asarray(rows, dtype=np.float64), np.ones((len(rows), 1)))


def fit_scaler(
    settings: DagmmSettings, groups: RowGroups, ranks: Ranks
) -> tuple[Scaler, Statistics]:
    """The scaler, and mean and covariance of the scaled rows."""
    kind, width = settings.scaling, groups.sample.shape[1]
    scaler = Scaler(kind, np.zeros(width), np.ones(width))
    quartiles: Float = np.percentile(groups.sample.astype(np.float64), QUARTILES, axis=0)
    if kind != "none":
        scaler = _by_columns(kind, groups, quartiles, ranks)
    scaled = groups.map(lambda rows: scaler.transform(rows, None))
    (moments,) = moments_of(scaled, ranks, lambda rows: [whole(rows)])
    mean, covariance = moments.mean[0], moments.scatter[0] / groups.rows
    if kind in STANDARD_AFTER:
        scaler = standardised(scaler, mean, covariance)
        assert scaler.spread is not None
        return scaler, (np.zeros(width), covariance / np.outer(scaler.spread, scaler.spread))
    if kind not in WHITENING:
        return scaler, (mean, covariance)
    scaler = rotated(scaler, groups.rows, mean, covariance, quartiles[0] == quartiles[2])
    assert scaler.rotation is not None
    return scaler, (np.zeros(width), scaler.rotation.T @ covariance @ scaler.rotation)


def _by_columns(kind: str, groups: RowGroups, quartiles: Float, ranks: Ranks) -> Scaler:
    values = [Values.of(groups.sample)]

    def noted(rows: Rows) -> list[Moments]:
        if len(rows):
            values[0] = values[0].merge(Values.of(rows))
        return [whole(rows)]

    (moments,) = moments_of(groups, ranks, noted)
    of_ranks = ranks.gather(np.array(values[0], np.float64))
    low, high, two = reduce(Values.merge, (Values(a, b, c > 0) for a, b, c in of_ranks))
    deviation = np.sqrt(np.diagonal(moments.scatter[0]) / groups.rows)
    centres, scales = low.copy(), np.ones(len(low))
    for d in np.flatnonzero(low < high):
        centres[d], scales[d] = centre_and_scale(
            kind, low[d], high[d], two[d], moments.mean[0, d], deviation[d], quartiles[:, d]
        )
    # A spread within rounding of the values is none: the column is constant.
    unit = np.maximum(np.maximum(np.abs(low), np.abs(high)), np.finfo(float).tiny)
    return Scaler(kind, centres, np.where(scales / unit > 1e-12, scales, 1.0))


def fit_streamed_scorer(
    parameters: Parameters,
    settings: DagmmSettings,
    jitter: Float,
    groups: RowGroups,
    seeds: Sequence[int],
    ranks: Ranks,
) -> Scorer:
    """As `scoring.final_mixture.fit_scorer`, in a pass over the groups for each statistic.

    Args:
        parameters: of the trained members.
        settings: of the detector.
        jitter: ``(S,)`` relative jitter, the one used in training.
        groups: of scaled float64 rows.
        seeds: one for each member, whose mixture is fitted again.
        ranks: that share the groups.
    """
    members, width = len(seeds), latent_width(settings)
    none, one = np.zeros((members, width)), np.ones((members, width))
    scorer = Scorer(settings, parameters, none, one, (), none[:, 0], one[:, 0])

    def moments(of_members: Callable[[Rows], Float]) -> list[Moments]:
        return moments_of(groups, ranks, lambda rows: [whole(z) for z in of_members(rows)])

    if settings.masking:
        masked = MaskedNetwork(scorer.double)
        error_moments = moments(lambda rows: masked.errors(rows.astype(np.float64, copy=False)))
        scorer = replace(scorer, typical=np.stack([m.mean[0] for m in error_moments]))
    if settings.latent_scaling == "standardised":
        latent_moments = moments(scorer.latent)
        variance = np.stack([np.diagonal(m.scatter[0]) for m in latent_moments]) / groups.rows
        scorer = replace(
            scorer,
            latent_mean=np.stack([m.mean[0] for m in latent_moments]),
            latent_scale=latent_scale(variance),
        )
    if settings.criterion == "energy":
        mixtures = _mixtures(scorer, settings, jitter, groups, seeds, ranks)
        scorer = replace(scorer, mixtures=mixtures)
    energy_moments = moments(lambda rows: scorer.member_energies(rows)[..., None])
    spread = np.sqrt([m.scatter[0, 0, 0] / groups.rows for m in energy_moments])
    return replace(
        scorer,
        energy_mean=np.array([m.mean[0, 0] for m in energy_moments]),
        energy_scale=np.where(spread > 0, spread, 1.0),
    )


def _mixtures(
    scorer: Scorer,
    settings: DagmmSettings,
    jitter: Float,
    groups: RowGroups,
    seeds: Sequence[int],
    ranks: Ranks,
) -> tuple[Mixture, ...]:
    """The final mixture of each member: chosen on the sample, its last step over all rows."""

    def memberships(z: Float) -> Float:
        gamma: Float = membership(np, membership_logits(np, scorer.double, z))
        return gamma

    if settings.final_mixture == "em":
        z = scorer.latent(groups.sample)
        return tuple(
            mixture_by_em(rows, settings.n_components, one, seed)
            for rows, one, seed in zip(z, jitter, seeds, strict=True)
        )
    if settings.refinement == 0:

        def by_network(rows: Rows) -> list[Moments]:
            z = scorer.latent(rows)
            return [Moments.of(*pair) for pair in zip(z, memberships(z), strict=True)]

        merged = moments_of(groups, ranks, by_network)
        return tuple(m.mixture(one) for m, one in zip(merged, jitter, strict=True))
    z = scorer.latent(evenly(groups.sample, ROWS))
    gamma = memberships(z)

    def of_member(s: int) -> Mixture:
        steps, overlap = settings.refinement, settings.overlap_weight
        return choose_mixture(z[s], gamma[s], steps, jitter[s], overlap_weight=overlap)

    chosen = in_threads(of_member, range(len(z)))

    def by_posterior(rows: Rows) -> list[Moments]:
        z = scorer.latent(rows)
        return [Moments.of(of, m.posterior(of)) for of, m in zip(z, chosen, strict=True)]

    if groups.rows > ROWS:
        merged = moments_of(groups, ranks, by_posterior)
        chosen = [m.mixture(one, PRIOR_ROWS) for m, one in zip(merged, jitter, strict=True)]
    return tuple(padded(mixture, settings.n_components) for mixture in chosen)
