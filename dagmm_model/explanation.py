"""Why a row is anomalous: which columns were reconstructed badly, which component it fell to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dagmm_model.inference import Scorer, chunks
from dagmm_model.scaling import Scaler

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """Reasons for n rows.

    Attributes:
        shares: ``(n, D)`` share of each column in the squared reconstruction error of the scaled
            row, mean over the members; a row sums to one (all 0 where nothing was off).
        component: ``(n,)`` index of the component most responsible for the row, first member.
        responsibility: ``(n,)`` its posterior probability.
    """

    shares: Float
    component: NDArray[np.int64]
    responsibility: Float


def explain(scorer: Scorer, scaler: Scaler, x: NDArray[np.floating]) -> Explanation:
    """Reasons for scaled rows ``(n, D)``; the scaler leads back to the input's columns."""
    shares = np.empty(x.shape)
    posterior = np.empty((len(x), len(scorer.mixtures[0].phi)))
    for part in chunks(len(x)):
        error = scaler.by_column(scorer.reconstruct(x[part]) - x[part]) ** 2
        total = error.sum(axis=2, keepdims=True)
        shares[part] = (error / np.where(total > 0, total, 1.0)).mean(axis=0)
        posterior[part] = scorer.mixtures[0].posterior(scorer.latent(x[part])[0])
    component = posterior.argmax(axis=1)
    return Explanation(shares, component, posterior[np.arange(len(x)), component])
