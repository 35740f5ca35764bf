"""The scaler of streamed rows: moments and extremes of all of them, quartiles of a sample."""

from __future__ import annotations

from functools import reduce

import numpy as np

from dagmm_model.base.arrays import Float, Rows
from dagmm_model.base.distributed import Ranks
from dagmm_model.mixture.moments import Moments
from dagmm_model.networks.settings import DagmmSettings
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
