"""Four detectors of a few lines each: what a deep one has to beat to be worth its training.

All take a numeric matrix, scale it themselves, are fitted on (mostly) normal rows, and give an
energy: higher = more anomalous. None is tuned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest as SklearnIsolationForest
from sklearn.neighbors import NearestNeighbors as SklearnNearestNeighbors

from dagmm_model.scaling import Scaler

Float = NDArray[np.float64]
Rows = NDArray[np.floating]

CHUNK = 8192


class NotEnoughRowsError(ValueError):
    """Too few training rows for the detector."""


class SimpleDetector(Protocol):
    """What a simple detector offers."""

    def fit(self, X: Rows) -> Self:
        """Fit on rows ``(n, D)``.

        Raises:
            NotEnoughRowsError: fewer rows than the detector needs.
        """

    def energy(self, X: Rows) -> Float:
        """Energy of rows ``(m, D)``: float64 ``(m,)``, higher = more anomalous."""


class PrincipalComponents:
    """Squared reconstruction error of a few principal components of the min-max scaled rows.

    Args:
        components: number of components kept.
    """

    def __init__(self, components: int = 2) -> None:
        self.components = components

    def fit(self, X: Rows) -> Self:
        """See `SimpleDetector.fit`."""
        _check(X, 2)
        self._scaler = Scaler.fit("minmax", X)
        self._mean, covariance = _moments(self._scaler, X)
        _, axes = np.linalg.eigh(covariance)
        self._axes = axes[:, ::-1][:, : self.components]
        return self

    def energy(self, X: Rows) -> Float:
        """See `SimpleDetector.energy`."""

        def error(rows: Rows) -> Float:
            centred = self._scaler.transform(rows) - self._mean
            residual = centred - (centred @ self._axes) @ self._axes.T
            result: Float = np.vecdot(residual, residual)
            return result

        return _in_chunks(error, X)


class Mahalanobis:
    """Squared Mahalanobis distance of the standardised rows, with the pseudo-inverse covariance."""

    def fit(self, X: Rows) -> Self:
        """See `SimpleDetector.fit`."""
        _check(X, 2)
        self._scaler = Scaler.fit("standard", X)
        self._mean, covariance = _moments(self._scaler, X)
        self._precision = np.linalg.pinv(covariance, rcond=1e-10, hermitian=True)
        return self

    def energy(self, X: Rows) -> Float:
        """See `SimpleDetector.energy`."""

        def distance(rows: Rows) -> Float:
            centred = self._scaler.transform(rows) - self._mean
            result: Float = np.vecdot(centred @ self._precision, centred)
            return result

        return _in_chunks(distance, X)


class IsolationForest:
    """scikit-learn's isolation forest with its default settings.

    Args:
        seed: of the trees.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, X: Rows) -> Self:
        """See `SimpleDetector.fit`."""
        _check(X, 2)
        self._forest = SklearnIsolationForest(random_state=self.seed).fit(X)
        return self

    def energy(self, X: Rows) -> Float:
        """See `SimpleDetector.energy`."""
        return _in_chunks(lambda rows: -self._forest.score_samples(rows), X)


class NearestNeighbours:
    """Mean distance to the nearest training rows, standardised columns.

    Args:
        neighbours: how many.
        limit: largest number of training rows kept, drawn at random.
        seed: of the draw.
    """

    def __init__(self, neighbours: int = 5, limit: int = 20_000, seed: int = 0) -> None:
        self.neighbours, self.limit, self.seed = neighbours, limit, seed

    def fit(self, X: Rows) -> Self:
        """See `SimpleDetector.fit`."""
        _check(X, self.neighbours)
        self._scaler = Scaler.fit("standard", X)
        if len(X) > self.limit:
            X = X[np.random.default_rng(self.seed).choice(len(X), self.limit, replace=False)]
        self._index = SklearnNearestNeighbors(n_neighbors=self.neighbours)
        self._index.fit(self._scaler.transform(X))
        return self

    def energy(self, X: Rows) -> Float:
        """See `SimpleDetector.energy`."""
        return _in_chunks(
            lambda rows: self._index.kneighbors(self._scaler.transform(rows))[0].mean(axis=1), X
        )


SIMPLE: dict[str, Callable[[int], SimpleDetector]] = {
    "pca": lambda seed: PrincipalComponents(),
    "mahalanobis": lambda seed: Mahalanobis(),
    "isolation_forest": lambda seed: IsolationForest(seed),
    "knn": lambda seed: NearestNeighbours(seed=seed),
}
"""The four detectors by name, each made from a seed."""


def _check(X: Rows, least: int) -> None:
    if len(X) < least:
        raise NotEnoughRowsError(f"{len(X)} training rows, at least {least} are needed; give more")


def _moments(scaler: Scaler, X: Rows) -> tuple[Float, Float]:
    """Mean and covariance of the scaled rows, a chunk at a time."""
    mean = np.zeros(X.shape[1])
    for start in range(0, len(X), CHUNK):
        mean += scaler.transform(X[start : start + CHUNK]).sum(axis=0)
    mean /= len(X)
    covariance = np.zeros((X.shape[1], X.shape[1]))
    for start in range(0, len(X), CHUNK):
        centred = scaler.transform(X[start : start + CHUNK]) - mean
        covariance += centred.T @ centred
    return mean, covariance / len(X)


def _in_chunks(work: Callable[[Rows], Float], X: Rows) -> Float:
    out = np.empty(len(X))
    for start in range(0, len(X), CHUNK):
        out[start : start + CHUNK] = work(X[start : start + CHUNK])
    return out
