"""Anomalies that are like rows which people have judged normal: marked, not hidden."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress

import numpy as np
import pyarrow as pa

from dagmm_model.detectors.bundle import ScoringBundle
from dagmm_model.detectors.interface import Latent, Mixed
from data_checks.contract.model import Contract
from flows.common.features import as_columns
from flows.verdicts.rows import row_key, row_texts, taken_rows
from flows.verdicts.standing import Standing

NEAR = 1.0
"""Largest distance from a row that was judged normal, in standard deviations of the component."""


@dataclass(frozen=True)
class Known:
    """Rows that were judged normal, as a version sees them.

    Two rows are alike when they have the same values; or when they belong to the same component of
    the mixture, the same column has the largest share of their reasons, and they are within `NEAR`
    of each other in latent space, by the covariance of that component (Mahalanobis). Of detectors
    without a mixture only equal rows are alike. A row is known when the nearest judged row that it
    is like was judged normal.

    Attributes:
        texts: Who judged each row normal, and when, ``(k,)``; empty for rows judged anomalies.
        keys: Of each row.
        places: Component and leading column of each, int64 ``(k, 2)``; empty without a mixture.
        latent: float64 ``(k, L)``.
    """

    texts: tuple[str, ...]
    keys: tuple[str, ...]
    places: np.ndarray
    latent: np.ndarray

    def remarks(self, bundle: ScoringBundle, features: pa.Table) -> list[str]:
        """Whom and when the row was judged that each of these is like; empty where there is none.

        Args:
            bundle: The version.
            features: ``(n,)`` rows with the contract's types.
        """
        if not len(features):
            return []
        where = {key: place for place, key in enumerate(self.keys)}
        like = [where.get(row_key(text), -1) for text in row_texts(features)]
        if len(self.places):
            like = self._nearest(bundle, features, np.array(like)).tolist()
        texts = [self.texts[at] if at >= 0 else "" for at in like]
        return [f"like a row judged normal {each}" if each else "" for each in texts]

    def _nearest(self, bundle: ScoringBundle, features: pa.Table, like: np.ndarray) -> np.ndarray:
        from scipy.spatial import cKDTree  # a third of a second, which few need

        places, latent = _seen(bundle, features)
        covariance = bundle.detector.mixtures_[0].covariance
        for component, column in np.unique(places, axis=0):
            mine = np.flatnonzero((places == (component, column)).all(axis=1) & (like < 0))
            theirs = np.flatnonzero((self.places == (component, column)).all(axis=1))
            if not len(mine) or not len(theirs):
                continue
            root = np.linalg.cholesky(covariance[component])
            ours, judged = (
                np.linalg.solve(root, z.T).T for z in (latent[mine], self.latent[theirs])
            )
            _, nearest = cKDTree(judged).query(ours, distance_upper_bound=NEAR)
            near = nearest < len(judged)  # else nothing is that near
            like[mine[near]] = theirs[nearest[near]]
        return like


def known_rows(
    standing: Iterable[Standing], bundle: ScoringBundle, contract: Contract
) -> Known | None:
    """The judged rows as a version sees them; None where none was judged normal."""
    judged = [each for each in standing if each.label is not None]
    if not judged:
        return None
    taken, features = taken_rows((each.row for each in judged), contract)
    judged = list(compress(judged, taken))
    if not any(each.label == 0 for each in judged):
        return None
    places, latent = np.empty((0, 2), np.int64), np.empty((0, 0))
    detector = bundle.detector
    if (
        bundle.explains
        and isinstance(detector, Latent)
        and isinstance(detector, Mixed)
        and detector.mixtures_
    ):
        places, latent = _seen(bundle, features)
    keys = tuple(map(row_key, row_texts(features)))
    return Known(tuple(map(_sentence, judged)), keys, places, latent)


def _seen(bundle: ScoringBundle, features: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Component and leading column, and the latent rows of the first member."""
    columns = as_columns(features)
    reasons = bundle.score(columns, "all").reasons
    assert reasons is not None
    latent = bundle.detector.latent(bundle.encoder.encode(columns))
    component = bundle.detector.mixtures_[0].posterior(latent).argmax(axis=1)
    return np.column_stack([component, reasons.shares.argmax(axis=1)]), latent


def _sentence(each: Standing) -> str:
    if each.label:
        return ""
    when = time.strftime("%Y-%m-%d", time.gmtime(each.last.time))
    return f"by {each.last.who} on {when}"
