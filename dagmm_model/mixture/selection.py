"""The final mixture: as many components as the latent rows support, from the memberships on.

The estimation network's memberships start an expectation-maximisation on the latent rows: each
row begins in the component it belongs to most. Every covariance is drawn towards that of all rows
by a pseudo-row (the posterior mode under an inverse Wishart prior). It is run with the K
components of the network, the K / 2 that most rows belong to, K / 4, ... and 1; the integrated
completed likelihood (Biernacki, Celeux and Govaert, 2000) chooses among them. It counts components
that stand apart, and does not pay for components that only follow a heavy tail, which would take
anomalies in the tail for normal.

Or, where the settings say so, a mixture by restarted expectation-maximisation (scikit-learn).
"""

import warnings
from collections.abc import Callable
from functools import reduce
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.base.processors import blas_threads
from dagmm_model.base.settings import SettingsError
from dagmm_model.mixture.mixture import LATENT_VARIANCE_FLOOR, Mixture
from dagmm_model.mixture.moments import Moments

T = TypeVar("T", bound=np.generic)

ROWS = 20_000
"""The choice is made on this many evenly spaced rows; its last step then takes all."""

PRIOR_ROWS = 1.0
"""Pseudo-rows with the covariance of all rows that each component's covariance is drawn to; with
10 of them clusters of a hundred rows are blurred, and anomalies between them missed."""

OVERLAP_WEIGHT = 3.0
"""Default weight of the memberships' entropy in the criterion; 1 is the published one, 0 gives the
Bayesian information criterion. Measured: with 1 and 2 a heavy tail still split on some random
splits, clusters were found with all three."""

POSTERIOR_ROWS = 4096


def select(
    z: Float,
    gamma: Float,
    steps: int,
    jitter: float,
    sample_weight: Float | None = None,
    overlap_weight: float = OVERLAP_WEIGHT,
) -> Mixture:
    """The mixture with the lowest criterion.

    Args:
        z: ``(n, L)`` latent rows.
        gamma: ``(n, K)`` memberships from the estimation network.
        steps: of expectation-maximisation for each number of components, at least 1.
        jitter: relative jitter, see `Mixture`.
        sample_weight: ``(n,)`` weights of the rows, or None.
        overlap_weight: of the memberships' entropy, see `criterion`.

    Returns:
        A mixture of K components, those not needed being empty (phi 0).
    """
    weight = None if sample_weight is None else evenly(sample_weight, ROWS)
    with blas_threads().limit(limits=1):  # small products: threads cost more than they bring
        best = choose_mixture(
            evenly(z, ROWS), evenly(gamma, ROWS), steps, jitter, weight, overlap_weight
        )
        if len(z) > ROWS:
            posterior = best.posterior
            best = _maximise(z, lambda part: posterior(z[part]), jitter, sample_weight)
    return padded(best, gamma.shape[1])


def evenly(rows: NDArray[T], most: int) -> NDArray[T]:
    """So many evenly spaced rows, or all."""
    n = len(rows)
    return rows[np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))]


def choose_mixture(
    rows: Float,
    gamma: Float,
    steps: int,
    jitter: float,
    weight: Float | None = None,
    overlap_weight: float = OVERLAP_WEIGHT,
) -> Mixture:
    """The mixture with the lowest criterion on these rows, see `select`; of at most K components.

    Raises:
        ValueError: the rows are not finite.
    """
    by_share = np.argsort(-np.average(gamma, axis=0, weights=weight), kind="stable")
    best, lowest = None, np.inf
    components = gamma.shape[1]
    halved = (components >> times for times in reversed(range(components.bit_length())))
    for k in halved:  # the fewest first: at equal criterion the smallest number wins
        start = _strongest(gamma[:, by_share[:k]])
        mixture = _maximise(rows, start.__getitem__, jitter, weight)
        for _ in range(steps if k > 1 else 0):
            mixture = _maximise(rows, mixture.posterior(rows).__getitem__, jitter, weight)
        value = criterion(mixture, rows, weight, overlap_weight)
        if value < lowest:
            best, lowest = mixture, value
    if best is None:
        raise ValueError("the latent rows are not finite; check the input's scaling")
    return best


def criterion(
    mixture: Mixture,
    z: Float,
    sample_weight: Float | None = None,
    overlap_weight: float = OVERLAP_WEIGHT,
) -> float:
    """Integrated completed likelihood of rows ``(n, L)``, in nats a row; lower is better.

    Energy, plus half the number of free parameters times log n, plus ``overlap_weight`` times the
    entropy of the components' posterior, each over n.
    """
    energy, posterior = mixture.energy_and_posterior(z)
    entropy = -(posterior * np.log(np.maximum(posterior, 1e-300))).sum(axis=1)
    width = z.shape[1]
    live = int((mixture.phi * len(z) > 1.0).sum())
    free = live * (1 + width + width * (width + 1) / 2) - 1
    fit = float(np.average(energy + overlap_weight * entropy, weights=sample_weight))
    return float(fit + 0.5 * free * np.log(len(z)) / len(z))


def _strongest(gamma: Float) -> Float:
    """Each row given to the component whose membership is largest, relative to its mean.

    Memberships of a shortly trained network are nearly equal, and components started with them lie
    on top of each other: on KDDCUP four averaged members then reached F1 0.966 to 0.979, started
    like this 0.985.
    """
    relative = gamma / np.maximum(gamma.mean(axis=0), 1e-300)
    start: Float = np.eye(gamma.shape[1])[relative.argmax(axis=1)]
    return start


def padded(mixture: Mixture, components: int) -> Mixture:
    """The mixture with empty components added."""
    spare = components - len(mixture.phi)
    centre = np.broadcast_to(mixture.phi @ mixture.mu, (spare, mixture.mu.shape[1]))
    sigma = np.broadcast_to(np.diag(mixture.spread), (spare, *mixture.sigma.shape[1:]))
    return Mixture(
        np.concatenate([mixture.phi, np.zeros(spare)]),
        np.concatenate([mixture.mu, centre]),
        np.concatenate([mixture.sigma, sigma]),
        mixture.jitter,
    )


def _maximise(
    z: Float, gamma: Callable[[slice], Float], jitter: float, sample_weight: Float | None
) -> Mixture:
    """The M step, in chunks of memberships."""
    parts = [slice(start, start + POSTERIOR_ROWS) for start in range(0, len(z), POSTERIOR_ROWS)]
    moments = (
        Moments.of(z[p], gamma(p), None if sample_weight is None else sample_weight[p])
        for p in parts
    )
    return reduce(Moments.merge, moments).mixture(jitter, PRIOR_ROWS)


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
