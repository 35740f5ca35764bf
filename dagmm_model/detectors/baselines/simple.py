"""Detectors of a few lines each: what a deep one has to beat to be worth its training.

All take a numeric matrix, scale it themselves, are fitted on (mostly) normal rows, and give an
energy: higher = more anomalous. None is tuned.
"""

from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from sklearn.neighbors import NearestNeighbors as SklearnNearestNeighbors

from dagmm_model.base.arrays import Float, Rows
from dagmm_model.base.settings import CheckedSettings
from dagmm_model.detectors.base import ROWS_PER_CALL, BaseDetector
from dagmm_model.detectors.interface import Arrays, NotEnoughRowsError
from dagmm_model.scoring.explanation import Explanation
from dagmm_model.tables.scaling import Scaler, covariance_of

SIMPLE = ("pca", "mahalanobis", "isolation-forest", "knn")
"""Their names in the catalogue."""

S = TypeVar("S")


class _SimpleDetector(BaseDetector[S]):
    """A detector of rows that are always scaled in one way."""

    scaling: ClassVar[str] = "standard"

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        self._scaler = Scaler.from_arrays(self.scaling, arrays)

    def _moments(self, X: Rows) -> tuple[Scaler, Float, Float]:
        """The scaler, and mean ``(D,)`` and covariance ``(D, D)`` of the scaled rows."""
        scaler = Scaler.fit(self.scaling, X)
        n, width = X.shape
        return scaler, *covariance_of(
            lambda part: scaler.transform(X[part]), n, width, ROWS_PER_CALL
        )


@dataclass(frozen=True)
class PrincipalComponentsSettings(CheckedSettings):
    """Settings of `PrincipalComponents`.

    Attributes:
        components: number of components kept.
    """

    components: int = 2


class PrincipalComponents(_SimpleDetector[PrincipalComponentsSettings]):
    """Squared reconstruction error of a few principal components of the min-max scaled rows."""

    name = "pca"
    settings_type = PrincipalComponentsSettings
    scaling = "minmax"

    def _learn(self, X: Rows) -> Arrays:
        scaler, mean, covariance = self._moments(X)
        axes = np.linalg.eigh(covariance)[1][:, ::-1][:, : self.settings_.components]
        return scaler.to_arrays() | {"mean": mean, "axes": axes}

    def _residual(self, X: Rows) -> Float:
        centred, axes = self._scaler.transform(X) - self._arrays["mean"], self._arrays["axes"]
        return centred - (centred @ axes) @ axes.T

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


class Mahalanobis(_SimpleDetector[CheckedSettings]):
    """Squared Mahalanobis distance of the standardised rows, with the pseudo-inverse covariance."""

    name = "mahalanobis"
    settings_type = CheckedSettings  # nothing to set

    def _learn(self, X: Rows) -> Arrays:
        scaler, mean, covariance = self._moments(X)
        precision = np.linalg.pinv(covariance, rcond=1e-10, hermitian=True)
        return scaler.to_arrays() | {"mean": mean, "precision": precision}

    def _energy(self, X: Rows) -> Float:
        centred = self._scaler.transform(X) - self._arrays["mean"]
        result: Float = np.vecdot(centred @ self._arrays["precision"], centred)
        return result


@dataclass(frozen=True)
class NearestNeighboursSettings(CheckedSettings):
    """Settings of `NearestNeighbours`.

    Attributes:
        neighbours: how many.
        limit: largest number of training rows kept, drawn at random.
        distance: ``mean`` of the distances to them, or ``largest``.
    """

    neighbours: int = 5
    limit: int = 20_000
    distance: str = "mean"

    choices: ClassVar[dict[str, tuple[str, ...]]] = {"distance": ("mean", "largest")}


class NearestNeighbours(_SimpleDetector[NearestNeighboursSettings]):
    """Distance to the nearest training rows, standardised columns.

    The preset ``adbench`` is the detector behind the published figures of ADBench's tables.
    """

    name = "knn"
    settings_type = NearestNeighboursSettings

    def _learn(self, X: Rows) -> Arrays:
        needed, limit = self.settings_.neighbours, self.settings_.limit
        if len(X) < needed:
            raise NotEnoughRowsError(
                f"{len(X)} training rows, at least {needed} are needed; give more"
            )
        scaler = Scaler.fit(self.scaling, X)
        if len(X) > limit:
            X = X[np.random.default_rng(self.seed).choice(len(X), limit, replace=False)]
        return scaler.to_arrays() | {"kept": scaler.transform(X)}

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        search = SklearnNearestNeighbors(n_neighbors=self.settings_.neighbours)
        self._search = search.fit(self._arrays["kept"])

    def _energy(self, X: Rows) -> Float:
        distances, _ = self._search.kneighbors(self._scaler.transform(X))
        largest = self.settings_.distance == "largest"
        result: Float = distances[:, -1] if largest else distances.mean(axis=1)
        return result
