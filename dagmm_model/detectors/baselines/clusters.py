"""Two models of clustered rows: a Gaussian mixture by EM, and k-means. Fitted by scikit-learn."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from dagmm_model.base.arrays import Float
from dagmm_model.detectors.base import ScaledDetector
from dagmm_model.detectors.interface import Arrays, NotEnoughRowsError
from dagmm_model.mixture.mixture import Mixture
from dagmm_model.training.baseline_settings import BaselineSettings


@dataclass(frozen=True)
class GmmSettings(BaselineSettings):
    """Settings of `Gmm`.

    Attributes:
        components: of the mixture.
        regularisation: added to the variance of every scaled column, of variance about 1.
        starts: fits from different starts, the likeliest of which is kept.
    """

    components: int = 4
    regularisation: float = 1e-3
    starts: int = 1

    least: ClassVar[dict[str, float]] = {"regularisation": 1e-9}


class Gmm(ScaledDetector[GmmSettings]):
    """Negative log-likelihood under a Gaussian mixture with full covariances, fitted by EM."""

    name = "gmm"
    settings_type = GmmSettings

    def _learn_scaled(self, x: Float) -> Arrays:
        enough(len(x), self.settings_.components, "components")
        mixture = GaussianMixture(
            self.settings_.components,
            reg_covar=self.settings_.regularisation,
            n_init=self.settings_.starts,
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # 100 iterations are the end
            mixture.fit(x)
        return {"phi": mixture.weights_, "mu": mixture.means_, "sigma": mixture.covariances_}

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        self._mixture = Mixture(**{n: self._arrays[n] for n in ("phi", "mu", "sigma")}, jitter=0.0)
        self.health_ = self._mixture.health()

    @property
    def mixtures_(self) -> tuple[Mixture, ...]:
        """The mixture."""
        return (self._mixture,)

    def _score(self, x: Float) -> Float:
        return self._mixture.energy(x)


@dataclass(frozen=True)
class KmeansSettings(BaselineSettings):
    """Settings of `Kmeans`.

    Attributes:
        clusters: number of centres.
        starts: runs from different starts, the tightest of which is kept.
    """

    clusters: int = 8
    starts: int = 10


class Kmeans(ScaledDetector[KmeansSettings]):
    """Squared distance to the nearest of the centres that k-means finds."""

    name = "kmeans"
    settings_type = KmeansSettings

    def _learn_scaled(self, x: Float) -> Arrays:
        enough(len(x), self.settings_.clusters, "clusters")
        kmeans = KMeans(
            self.settings_.clusters, n_init=self.settings_.starts, random_state=self.seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than centres
            return {"centres": kmeans.fit(x).cluster_centers_}

    def _score(self, x: Float) -> Float:
        nearest = np.full(len(x), np.inf)
        for centre in self._arrays["centres"]:
            offset = x - centre
            np.minimum(nearest, np.vecdot(offset, offset), out=nearest)
        return nearest


def enough(rows: int, groups: int, name: str) -> None:
    """Refuse fewer rows than groups, with the remedy."""
    if rows < groups:
        raise NotEnoughRowsError(
            f"{rows} training rows cannot make {groups} {name}; give more, or lower {name}"
        )
