"""A DAGMM fitted on rows that do not fit into memory: what is a sum is exact, over one pass each.

Exact, by mergeable moments: means, deviations, extremes, the principal axes of the whitening and of
the linear path, the standardisation of the latent, the final mixture's last step, the energies'
mean and deviation. From `RowGroups.sample`: the quartiles of the columns, the choice of the
mixture's components, ``offset_``, and all views but the network's own: the reference rows, the
mixture along the principal axes, and every view's surprisals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from dagmm_model.base.arrays import Rows
from dagmm_model.base.checkpoint import Checkpointing, CheckpointStore
from dagmm_model.base.distributed import ALONE, Ranks
from dagmm_model.base.settings import SettingsError
from dagmm_model.detectors.dagmm import DAGMM
from dagmm_model.detectors.fitting import check_contamination, seeds_for
from dagmm_model.detectors.streamed.passes import Statistics, fit_scaler, fit_streamed_scorer
from dagmm_model.engines.choice import device_for, make_engine, multiplications
from dagmm_model.networks.network import initialise
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.scoring.wide import joined_scorer
from dagmm_model.tables.encoded import Encoded
from dagmm_model.tables.rows import canonical_order, scaled32
from dagmm_model.tables.scaling import Scaler
from dagmm_model.training.epochs import Execution, Observer
from dagmm_model.training.loop import MemberTraining, selects
from dagmm_model.training.streaming import BUFFER_ROWS, RowGroups, WindowFeed


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
    scaled = groups.map(lambda rows: scaled32(scaler, rows))
    feed = WindowFeed(scaled, settings.batch_size, buffer_rows, seeds, ranks)
    how = Execution(observers, checkpoint, detector.engine, detector.device, ranks)
    training = MemberTraining(engine, settings, seeds, feed)
    trained = training.run(how, chosen, start, lambda: rows)
    fit_scorer = partial(
        fit_streamed_scorer, groups=groups.map(lambda x: scaler.transform(x, None)), ranks=ranks
    )
    scorer = fit_scorer(trained.parameters, settings, trained.jitter, seeds=seeds)
    if (wide := settings.wide()) is not None:
        initial = initialise(wide, width, last, statistics=statistics)
        other = fit_scorer(initial, wide, np.array([wide.jitter]), seeds=last)
        scorer = joined_scorer(scorer, other)
    if not ranks.first:
        return detector
    detector.n_features_in_ = width
    detector._take(trained, scaler, scorer, groups.sample, None, seeds[0])
    scores = -detector._row_scorer.energy(Encoded.of(groups.sample))
    detector.offset_ = float(np.percentile(scores, 100.0 * detector.contamination))
    return detector


def _check(settings: DagmmSettings) -> None:
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
    settings: DagmmSettings,
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
