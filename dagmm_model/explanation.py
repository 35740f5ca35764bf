"""Why a row is anomalous: which columns were reconstructed badly, which component it fell to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dagmm_model.inference import Scorer, each_chunk
from dagmm_model.scaling import Scaler

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """Reasons for n rows.

    Attributes:
        shares: ``(n, D)`` share of each column in the squared reconstruction error of the scaled
            row, mean over the members; a row sums to one (all 0 where nothing was off).
        component: ``(n,)`` index of the component most responsible for the row, first member; -1
            where there is no mixture.
        responsibility: ``(n,)`` its posterior probability, 0 where there is no mixture.
    """

    shares: Float
    component: NDArray[np.int64]
    responsibility: Float


def explain(scorer: Scorer, scaler: Scaler, x: NDArray[np.floating]) -> Explanation:
    """Reasons for scaled rows ``(n, D)``; the scaler leads back to the input's columns."""
    shares = np.empty(x.shape)
    mixture = scorer.mixtures[0] if scorer.mixtures else None
    component, responsibility = np.full(len(x), -1), np.zeros(len(x))

    def one(part: slice) -> None:
        rows = np.asarray(x[part], dtype=np.float64)
        z, x_hat = scorer.compress(rows)
        x_hat -= rows
        error = scaler.by_column(x_hat)
        error *= error
        total = error.sum(axis=2, keepdims=True)
        error /= np.where(total > 0, total, 1.0)
        shares[part] = error.mean(axis=0)
        if mixture is not None:
            posterior = mixture.posterior(z[0])
            component[part] = posterior.argmax(axis=1)
            responsibility[part] = posterior.max(axis=1)

    each_chunk(one, len(x))
    return Explanation(shares, component, responsibility)
