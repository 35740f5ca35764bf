"""Detectors of a few lines each: what a deep one has to beat to be worth its training.

All take a numeric matrix, scale it themselves, are fitted on (mostly) normal rows, and give an
energy: higher = more anomalous. None is tuned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.neighbors import NearestNeighbors as SklearnNearestNeighbors

from dagmm_model.base.checkpoint import Checkpointing
from dagmm_model.base.settings import is_count, refuse
from dagmm_model.detectors.base import ROWS_PER_CALL, BaseDetector
from dagmm_model.detectors.interface import Arrays, Float, NotEnoughRowsError, Rows, State
from dagmm_model.scoring.explanation import Explanation
from dagmm_model.tables.scaling import Scaler
from dagmm_model.training.epochs import Observer

SIMPLE = ("pca", "mahalanobis", "isolation-forest", "knn")
"""Their names in the catalogue."""


@dataclass(frozen=True)
class PrincipalComponentsSettings:
    """Settings of `PrincipalComponents`.

    Attributes:
        components: number of components kept.
    """

    components: int = 2

    def __post_init__(self) -> None:
        if not is_count(self.components):
            refuse("components", self.components, "a positive integer")


class PrincipalComponents(BaseDetector[PrincipalComponentsSettings]):
    """Squared reconstruction error of a few principal components of the min-max scaled rows."""

    name = "pca"
    settings_type = PrincipalComponentsSettings

    def _fit(
        self, X: Rows, observers: Sequence[Observer], checkpoint: Checkpointing | None
    ) -> None:
        self._scaler = Scaler.fit("minmax", X)
        self._mean, covariance = _moments(self._scaler, X)
        _, axes = np.linalg.eigh(covariance)
        self._axes = axes[:, ::-1][:, : self.settings_.components]

    def _residual(self, X: Rows) -> Float:
        centred = self._scaler.transform(X) - self._mean
        result: Float = centred - (centred @ self._axes) @ self._axes.T
        return result

    def _energy(self, X: Rows) -> Float:
        residual = self._residual(X)
        result: Float = np.vecdot(residual, residual)
        return result

    def explain(self, X: Rows) -> Explanation:
        """Share of each column in the energy; there is no component."""
        squares = self._residual(X) ** 2
        total = squares.sum(axis=1, keepdims=True)
        shares = squares / np.where(total > 0, total, 1.0)
        return Explanation(shares, np.full(len(X), -1), np.zeros(len(X)))

    def _fitted(self) -> State:
        return {}, self._scaler.to_arrays() | {"mean": self._mean, "axes": self._axes}

    def _restore(self, values: dict[str, Any], arrays: Arrays) -> None:
        self._scaler = Scaler.from_arrays("minmax", arrays)
        self._mean, self._axes = arrays["mean"], arrays["axes"]


@dataclass(frozen=True)
class NoSettings:
    """Nothing to set."""


class Mahalanobis(BaseDetector[NoSettings]):
    """Squared Mahalanobis distance of the standardised rows, with the pseudo-inverse covariance."""

    name = "mahalanobis"
    settings_type = NoSettings

    def _fit(
        self, X: Rows, observers: Sequence[Observer], checkpoint: Checkpointing | None
    ) -> None:
        self._scaler = Scaler.fit("standard", X)
        self._mean, covariance = _moments(self._scaler, X)
        self._precision = np.linalg.pinv(covariance, rcond=1e-10, hermitian=True)

    def _energy(self, X: Rows) -> Float:
        centred = self._scaler.transform(X) - self._mean
        result: Float = np.vecdot(centred @ self._precision, centred)
        return result

    def _fitted(self) -> State:
        return {}, self._scaler.to_arrays() | {"mean": self._mean, "precision": self._precision}

    def _restore(self, values: dict[str, Any], arrays: Arrays) -> None:
        self._scaler = Scaler.from_arrays("standard", arrays)
        self._mean, self._precision = arrays["mean"], arrays["precision"]


@dataclass(frozen=True)
class NearestNeighboursSettings:
    """Settings of `NearestNeighbours`.

    Attributes:
        neighbours: how many.
        limit: largest number of training rows kept, drawn at random.
        distance: ``mean`` of the distances to them, or ``largest``.
    """

    neighbours: int = 5
    limit: int = 20_000
    distance: str = "mean"

    def __post_init__(self) -> None:
        for name in ("neighbours", "limit"):
            if not is_count(getattr(self, name)):
                refuse(name, getattr(self, name), "a positive integer")
        if self.distance not in ("mean", "largest"):
            refuse("distance", self.distance, "mean or largest")


class NearestNeighbours(BaseDetector[NearestNeighboursSettings]):
    """Distance to the nearest training rows, standardised columns.

    The preset ``adbench`` is the detector behind the published figures of ADBench's tables.
    """

    name = "knn"
    settings_type = NearestNeighboursSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "recommended": {},
        "adbench": {"distance": "largest", "limit": 50_000},
    }

    def _fit(
        self, X: Rows, observers: Sequence[Observer], checkpoint: Checkpointing | None
    ) -> None:
        needed, limit = self.settings_.neighbours, self.settings_.limit
        if len(X) < needed:
            raise NotEnoughRowsError(
                f"{len(X)} training rows, at least {needed} are needed; give more"
            )
        self._scaler = Scaler.fit("standard", X)
        if len(X) > limit:
            X = X[np.random.default_rng(self.seed).choice(len(X), limit, replace=False)]
        self._index(self._scaler.transform(X))

    def _index(self, kept: Float) -> None:
        self._kept = kept
        self._search = SklearnNearestNeighbors(n_neighbors=self.settings_.neighbours).fit(kept)

    def _energy(self, X: Rows) -> Float:
        distances, _ = self._search.kneighbors(self._scaler.transform(X))
        largest = self.settings_.distance == "largest"
        result: Float = distances[:, -1] if largest else distances.mean(axis=1)
        return result

    def _fitted(self) -> State:
        return {}, self._scaler.to_arrays() | {"kept": self._kept}

    def _restore(self, values: dict[str, Any], arrays: Arrays) -> None:
        self._scaler = Scaler.from_arrays("standard", arrays)
        self._index(arrays["kept"])


def _moments(scaler: Scaler, X: Rows) -> tuple[Float, Float]:
    """Mean and covariance of the scaled rows, a chunk at a time."""
    mean = np.zeros(X.shape[1])
    for start in range(0, len(X), ROWS_PER_CALL):
        mean += scaler.transform(X[start : start + ROWS_PER_CALL]).sum(axis=0)
    mean /= len(X)
    covariance = np.zeros((X.shape[1], X.shape[1]))
    for start in range(0, len(X), ROWS_PER_CALL):
        centred = scaler.transform(X[start : start + ROWS_PER_CALL]) - mean
        covariance += centred.T @ centred
    return mean, covariance / len(X)
