"""A DAGMM fitted on rows that do not fit into memory: what is a sum is exact, over one pass each.

Exact, by mergeable moments: means, deviations, extremes, the principal axes of the whitening and of
the linear path, the standardisation of the latent, the final mixture's last step, the energies'
mean and deviation. From `RowGroups.sample`: the quartiles of the columns, the choice of the
mixture's components, ``offset_``, and all views but the network's own: the reference rows, the
mixture along the principal axes, and every view's surprisals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.checkpoint import Checkpointing, CheckpointStore
from dagmm_model.base.distributed import ALONE, Ranks
from dagmm_model.base.processors import in_threads
from dagmm_model.base.settings import SettingsError
from dagmm_model.detectors.dagmm import DAGMM
from dagmm_model.detectors.fitting import check_contamination, seeds_for
from dagmm_model.engines.choice import device_for, make_engine, multiplications
from dagmm_model.mixture.em import mixture_by_em
from dagmm_model.mixture.mixture import Mixture, latent_scale
from dagmm_model.mixture.moments import Moments
from dagmm_model.mixture.selection import PRIOR_ROWS, ROWS, choose, evenly, padded
from dagmm_model.networks.estimation import membership, membership_logits
from dagmm_model.networks.network import Parameters, initialise, latent_width
from dagmm_model.networks.settings import Settings
from dagmm_model.scoring.inference import Scorer
from dagmm_model.scoring.masked import MaskedNetwork
from dagmm_model.scoring.wide import joined
from dagmm_model.tables.encoded import Encoded
from dagmm_model.tables.rows import canonical_order, scaled32
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
from dagmm_model.training.epochs import Observer
from dagmm_model.training.loop import run_identity, run_training, selects
from dagmm_model.training.streaming import BUFFER_ROWS, RowGroups, WindowFeed, moments_of

Float = NDArray[np.float64]
Rows = NDArray[np.floating]
Statistics = tuple[Float, Float]
"""Mean ``(D,)`` and covariance ``(D, D)``."""


def fit_streamed(
    detector: DAGMM,
    groups: RowGroups,
    *,
    buffer_rows: int = BUFFER_ROWS,
    observers: Sequence[Observer] = (),
    checkpoint: Checkpointing | None = None,
    ranks: Ranks = ALONE,
) -> DAGMM:
    """Fit the detector; memory depends on the window, not on the rows.

    Args:
        detector: unfitted; on every rank but the first it stays so.
        groups: of numeric rows ``(n, D)``, the same on every rank.
        buffer_rows: rows that are shuffled together, over all ranks.
        observers: called with the `EpochRecord` of each epoch.
        checkpoint: where to write checkpoints and resume from; its ``data_digest`` has to name
            the rows.
        ranks: that train together.

    Raises:
        SettingsError: a setting that needs all rows in memory.
        ValueError: rows that cannot be used.
        TrainingDiverged: a loss became infinite or NaN.
        CheckpointMismatch: the checkpoint is of another run.
        RanksLost: another rank has died.
    """
    check_contamination(detector.contamination)
    n, width = groups.rows, groups.sample.shape[1]
    settings = detector.settings_for(n, width)
    _check(settings)
    seeds, last = seeds_for(settings, n, detector.random_state)
    # In an order of their own: rows taken evenly from the sample are then of every kind.
    sample, read = _floating(groups.sample), groups.read
    with np.errstate(invalid="ignore"):  # what is not finite is named when its group is read
        sample = sample[canonical_order(sample)]
    groups = replace(groups, sample=sample, read=lambda number: _finite(read(number), number))
    rows = {"groups": list(groups.sizes), "buffer_rows": buffer_rows}
    scaler, statistics = _prepared(settings, groups, checkpoint, rows, ranks)
    start = initialise(settings, width, seeds, statistics=statistics)
    nothing = np.empty((0, width), np.float32)
    work = multiplications(settings, n, width, len(seeds))
    chosen = device_for(detector.engine, detector.device, work)
    engine = make_engine(detector.engine, chosen, nothing, None, start, settings, ranks)
    store = None
    if checkpoint is not None:
        identity = run_identity(engine, settings, seeds, rows, start)
        store = CheckpointStore(checkpoint, identity, ranks, asdict(Settings()))
    scaled = groups.map(lambda rows: scaled32(scaler, rows))
    feed = WindowFeed(scaled, settings.batch_size, buffer_rows, seeds, ranks)
    trained = run_training(engine, chosen, feed, settings, seeds, store, observers)
    rescaled = groups.map(lambda rows: scaler.transform(rows, None))
    scorer = fit_scorer(trained.parameters, settings, trained.jitter, rescaled, seeds, ranks)
    wide = settings.wide()
    if wide is not None:
        wide_parameters = initialise(wide, width, last, statistics=statistics)
        scorer = joined(
            scorer,
            fit_scorer(wide_parameters, wide, np.array([wide.jitter]), rescaled, last, ranks),
        )
    if not ranks.first:
        return detector
    detector.n_features_in_ = width
    detector._take(trained, settings, scaler, scorer, groups.sample, None, seeds[0])
    scores = -detector._row_scorer.energy(Encoded.of(groups.sample))
    detector.offset_ = float(np.percentile(scores, 100.0 * detector.contamination))
    return detector


def _check(settings: Settings) -> None:
    wanted = {
        "keep_best or early_stopping": selects(settings),
        "layer_epochs": settings.layer_epochs > 0,
        "autoencoder_epochs": settings.autoencoder_epochs > 0,
    }
    for name, given in wanted.items():
        if given:
            raise SettingsError(
                f"{name} needs all rows in memory; leave it out, or train without streaming"
            )


def _prepared(
    settings: Settings,
    groups: RowGroups,
    checkpoint: Checkpointing | None,
    rows: Mapping[str, Any],
    ranks: Ranks,
) -> tuple[Scaler, Statistics]:
    """`fit_scaler`, or what it found before the training was interrupted.

    Another number of ranks would merge its sums in another order, and last bits can turn axes of
    equal variance: a training goes on in the axes that it began in.
    """
    if checkpoint is None:
        return fit_scaler(settings, groups, ranks)
    place = replace(checkpoint, folder=checkpoint.folder / "preparation")
    store = CheckpointStore(place, {"scaling": settings.scaling, **rows}, ranks)
    stored = store.read()
    if stored is None or "scaler.centre" not in stored[0]:  # or written by an older version
        scaler, (mean, covariance) = fit_scaler(settings, groups, ranks)
        store.write({**scaler.to_arrays(), "rows.mean": mean, "rows.covariance": covariance}, {})
        return scaler, (mean, covariance)
    arrays = {name: value.astype(np.float64) for name, value in stored[0].items()}
    statistics = arrays.pop("rows.mean"), arrays.pop("rows.covariance")
    return Scaler.from_arrays(settings.scaling, arrays), statistics


def _floating(rows: Rows) -> Rows:
    return rows if rows.dtype.kind == "f" else rows.astype(np.float64)


def _finite(rows: Rows, group: int) -> Rows:
    rows = _floating(rows)
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise ValueError(
            f"row {row} of group {group}, column {column} is not finite; remove or impute it"
        )
    return rows


def whole(rows: Rows) -> Moments:
    """Moments of all rows as one component: their mean, and covariance times their number."""
    return Moments.of(np.asarray(rows, dtype=np.float64), np.ones((len(rows), 1)))


def fit_scaler(settings: Settings, groups: RowGroups, ranks: Ranks) -> tuple[Scaler, Statistics]:
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


def fit_scorer(
    parameters: Parameters,
    settings: Settings,
    jitter: Float,
    groups: RowGroups,
    seeds: Sequence[int],
    ranks: Ranks,
) -> Scorer:
    """As `dagmm_model.scoring.inference.fit_scorer`, in a pass over the groups for each statistic.

    Args:
        parameters: of the trained members.
        settings: of the detector.
        jitter: ``(S,)`` relative jitter, the one used in training.
        groups: of scaled float64 rows.
        seeds: one for each member, where the mixture begins anew.
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
    settings: Settings,
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
        return choose(z[s], gamma[s], steps, jitter[s], overlap_weight=overlap)

    chosen = in_threads(of_member, range(len(z)))

    def by_posterior(rows: Rows) -> list[Moments]:
        z = scorer.latent(rows)
        return [Moments.of(of, m.posterior(of)) for of, m in zip(z, chosen, strict=True)]

    if groups.rows > ROWS:
        merged = moments_of(groups, ranks, by_posterior)
        chosen = [m.mixture(one, PRIOR_ROWS) for m, one in zip(merged, jitter, strict=True)]
    return tuple(padded(mixture, settings.n_components) for mixture in chosen)
