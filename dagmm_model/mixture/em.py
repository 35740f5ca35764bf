"""A Gaussian mixture of latent rows by restarted expectation-maximisation (scikit-learn)."""

from __future__ import annotations

import warnings

import numpy as np

from dagmm_model.base.arrays import Float
from dagmm_model.base.settings import SettingsError
from dagmm_model.mixture.mixture import LATENT_VARIANCE_FLOOR, Mixture

STARTS = 10
"""Fits from different runs of k-means, the likeliest of which is kept."""
START_ROWS = 20_000
"""Evenly spaced rows that the starts are compared on; the likeliest then goes on with all."""
REGULARISATION = 1e-6
"""Least variance added to each coordinate, of its own variance."""


def mixture_by_em(
    z: Float, components: int, jitter: float, seed: int, sample_weight: Float | None = None
) -> Mixture:
    """The likeliest mixture that a few starts from k-means lead to.

    Args:
        z: ``(n, L)`` latent rows.
        components: K.
        jitter: relative jitter.
        seed: of k-means.
        sample_weight: None; scikit-learn's mixture takes no weights.

    Raises:
        SettingsError: there are weights.
    """
    if sample_weight is not None:
        raise SettingsError(
            "final_mixture='em' takes no fractional sample_weight; repeat rows instead"
        )
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    mean, scale = z.mean(axis=0), np.sqrt(z.var(axis=0) + LATENT_VARIANCE_FLOOR)
    rows = (z - mean) / scale
    regularisation = max(jitter, REGULARISATION)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 100 iterations are the end
        fitted = GaussianMixture(
            components, reg_covar=regularisation, n_init=STARTS, random_state=seed
        ).fit(rows[:: -(-len(rows) // START_ROWS)])
        if len(rows) > START_ROWS:
            fitted = GaussianMixture(
                components,
                reg_covar=regularisation,
                weights_init=fitted.weights_,
                means_init=fitted.means_,
                precisions_init=fitted.precisions_,
                random_state=seed,
            ).fit(rows)
    sigma = fitted.covariances_ * scale[:, None] * scale
    return Mixture.stable(fitted.weights_, fitted.means_ * scale + mean, sigma, jitter)
