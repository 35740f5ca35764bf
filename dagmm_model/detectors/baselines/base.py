"""What most baselines share: rows in an order of their own, scaled."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from dagmm_model.base.arrays import Float, Rows
from dagmm_model.detectors.base import BaseDetector
from dagmm_model.detectors.interface import Arrays
from dagmm_model.tables.rows import canonical_order
from dagmm_model.tables.scaling import Scaler
from dagmm_model.training.epochs import Execution
from dagmm_model.training.settings import BaselineSettings

S = TypeVar("S", bound=BaselineSettings)


class ScaledDetector(BaseDetector[S]):
    """A detector that learns from scaled rows, whatever their order, and scores scaled rows.

    A subclass writes `_learn_scaled` and `_score`.
    """

    def _fit(self, X: Rows, how: Execution) -> Arrays:
        self.settings_ = self.settings_for(*X.shape)
        rows = X[canonical_order(X)]
        scaler = Scaler.fit(self.settings_.scaling, rows)
        learned = self._train(scaler.transform(rows), how)
        return learned | scaler.to_arrays()

    def _energy(self, X: Rows) -> Float:
        return self._score(self._scaler.transform(X))

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        self._scaler = Scaler.from_arrays(self.settings_.scaling, self._arrays)

    def _train(self, x: Float, how: Execution) -> Arrays:
        """What `_learn_scaled` gives; another one where there are epochs."""
        return self._learn_scaled(x)

    def _learn_scaled(self, x: Float) -> Arrays:
        """The arrays that `_score` needs, of scaled rows ``(n, D)`` in canonical order."""
        raise NotImplementedError

    def _score(self, x: Float) -> Float:
        """Energy ``(m,)`` of a chunk of scaled rows ``(m, D)``, higher = more anomalous."""
        raise NotImplementedError


def sample(x: Float, limit: int, seed: int) -> Float:
    """At most ``limit`` of the rows, drawn at random, in their order."""
    if len(x) <= limit:
        return x
    chosen = np.random.default_rng(seed).choice(len(x), limit, replace=False)
    return x[np.sort(chosen)]
