"""Local outlier factor (Breunig, Kriegel, Ng and Sander, SIGMOD 2000), for new rows.

scikit-learn's LocalOutlierFactor keeps its fitted state in private attributes; the factor is a few
lines on its neighbour search, and gives the same values (novelty=True).
"""

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from dagmm_model.base.arrays import Float
from dagmm_model.detectors.base import ScaledDetector, sample
from dagmm_model.detectors.interface import Arrays, NotEnoughRowsError
from dagmm_model.training.baseline_settings import BaselineSettings

TINY = 1e-10
"""Added to the mean reachability distance, as in scikit-learn."""


@dataclass(frozen=True)
class LofSettings(BaselineSettings):
    """Settings of `LocalOutlierFactor`.

    Attributes:
        neighbours: k.
        limit: largest number of distinct training rows kept, drawn at random.
    """

    scaling: str = "minmax"
    neighbours: int = 20
    limit: int = 20_000


class LocalOutlierFactor(ScaledDetector[LofSettings]):
    """Density of a row's neighbours over its own.

    Of rows that occur several times one is kept: k copies of a row have no distance, thus infinite
    density, beside which every other row would be an outlier.
    """

    name = "lof"
    settings_type = LofSettings

    def _learn_scaled(self, x: Float) -> Arrays:
        kept = sample(np.unique(x, axis=0), self.settings_.limit, self.seed)
        k = self.settings_.neighbours
        if len(kept) <= k:
            raise NotEnoughRowsError(
                f"{len(kept)} distinct training rows are too few for {k} neighbours; "
                "give more, or lower neighbours"
            )
        search = NearestNeighbors(n_neighbors=k).fit(kept)
        distances, nearest = search.kneighbors()  # of the rows themselves, without themselves
        reach = np.maximum(distances, distances[nearest, -1])
        return {
            "rows": kept,
            "radius": distances[:, -1],
            "density": 1.0 / (reach.mean(axis=1) + TINY),
        }

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        search = NearestNeighbors(n_neighbors=self.settings_.neighbours)
        self._search = search.fit(self._arrays["rows"])

    def _score(self, x: Float) -> Float:
        distances, nearest = self._search.kneighbors(x)
        reach = np.maximum(distances, self._arrays["radius"][nearest])
        own = 1.0 / (reach.mean(axis=1) + TINY)
        factors: Float = self._arrays["density"][nearest].mean(axis=1) / own
        return factors
