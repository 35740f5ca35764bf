"""The Gaussian mixture over the latent space: energy, health (paper 3.3-3.4).

Everything here is float64. The compiled loops are loaded where something is computed: whoever only
reads settings need not wait for Numba.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float

VARIANCE_FLOOR = 1e-6
"""Smallest coordinate variance that the relative jitter refers to (a constant coordinate has 0)."""

LATENT_VARIANCE_FLOOR = 1e-12
"""Added to the variance where the latent is standardised: a constant coordinate becomes 0."""

CONSTANT_VARIANCE = 1e-10
"""A latent coordinate of a smaller variance is only centred: what varies are rounding errors."""

WEIGHT_FLOOR = 1e-10
"""In training, the smallest share a component's statistics are divided by."""

SMALLEST = 1e-300
"""In training, the floor of a probability inside a logarithm."""

DISTANCE_ROWS = 512
"""Rows whose distances are computed at a time."""

MAX_JITTER = 1e-2
LOG_2PI = float(np.log(2.0 * np.pi))


class JitterWarning(UserWarning):
    """A covariance was not positive definite with the chosen jitter, which was raised."""


class MixtureError(ValueError):
    """No usable mixture can be made of these rows."""


def latent_scale(variance: Float) -> Float:
    """What coordinates of these variances are divided by to be standardised."""
    constant = variance < CONSTANT_VARIANCE
    return np.where(constant, 1.0, np.sqrt(variance + LATENT_VARIANCE_FLOOR))


@dataclass(frozen=True)
class MixtureHealth:
    """How much of the mixture is at work.

    Attributes:
        min_phi: smallest share of a component.
        max_condition: largest condition number of a component's covariance (jitter included).
        conditions: condition number of each component.
        effective_components: exponential of the entropy of phi, between 1 and K.
    """

    min_phi: float
    max_condition: float
    conditions: tuple[float, ...]
    effective_components: float


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture with K components in L dimensions, float64.

    The covariance used is ``sigma + jitter * diag(v)``, with v the variance of each coordinate
    over all rows, at least `VARIANCE_FLOOR`. It is relative to the scale of each coordinate, so
    the jitter means the same for a latent of any unit.

    Example:
        >>> standard = Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None], 0.0)
        >>> standard.energy(np.array([[0.0, 0.0], [1e6, 0.0]])).round(3).tolist()
        [1.838, 500000000001.838]

    Attributes:
        phi: ``(K,)`` shares, summing to one; 0 marks an empty component.
        mu: ``(K, L)`` means.
        sigma: ``(K, L, L)`` covariances without jitter.
        jitter: relative jitter in use (raised, with a warning, when it was too small).
    """

    phi: Float
    mu: Float
    sigma: Float
    jitter: float

    @classmethod
    def stable(cls, phi: Float, mu: Float, sigma: Float, jitter: float) -> Self:
        """The mixture with the smallest jitter, from the given one on, that is positive definite.

        Raises:
            MixtureError: not even `MAX_JITTER` is enough.
        """
        used = jitter
        while True:
            mixture = cls(phi, mu, sigma, used)
            try:
                np.linalg.cholesky(mixture.covariance)
            except np.linalg.LinAlgError:
                used = max(used * 10.0, 1e-12)
                if used > MAX_JITTER:
                    raise MixtureError(
                        f"a covariance is not positive definite even with jitter {MAX_JITTER}; "
                        "the latent rows are not finite or all but one coordinate are constant"
                    ) from None
            else:
                break
        if used != jitter:
            warnings.warn(
                f"jitter raised from {jitter:g} to {used:g}: a component's covariance was not "
                "positive definite; use fewer components, a narrower code or a larger jitter",
                JitterWarning,
                stacklevel=2,
            )
        return mixture

    @cached_property
    def spread(self) -> Float:
        """``(L,)`` variance of each coordinate over all rows, at least `VARIANCE_FLOOR`."""
        offset = self.mu - self.phi @ self.mu
        diagonal = np.diagonal(self.sigma, axis1=1, axis2=2)
        return np.maximum(self.phi @ (diagonal + offset**2), VARIANCE_FLOOR)

    @cached_property
    def covariance(self) -> Float:
        """``(K, L, L)`` covariances with the jitter."""
        return self.sigma + self.jitter * np.diag(self.spread)

    @cached_property
    def _whitening(self) -> tuple[Float, Float]:
        """Inverse Cholesky factors ``(K, L, L)`` and log normalisers ``(K,)``, phi included."""
        factor = np.linalg.cholesky(self.covariance)
        inverse = np.linalg.inv(factor)
        log_det = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        with np.errstate(divide="ignore"):
            log_phi = np.log(self.phi)
        return inverse, log_phi - log_det - 0.5 * self.mu.shape[1] * LOG_2PI

    @cached_property
    def terms(self) -> tuple[Float, NDArray[np.intp], Float, Float]:
        """What gives a row's distances from the components that are not empty.

        Returns:
            Centre of the mixture ``(L,)``; the k components; ``(k L, L + 1)``, which takes
            (z - centre, 1) to the whitened differences from the means; log of share and density's
            constant ``(k,)``.
        """
        inverse, normaliser = self._whitening
        live, centre = np.flatnonzero(self.phi > 0), self.phi @ self.mu
        offset = np.matmul(inverse, (self.mu - centre)[..., None])
        factors = np.concatenate([inverse, -offset], axis=2)[live]
        return centre, live, factors.reshape(-1, self.mu.shape[1] + 1), normaliser[live]

    def _blocks(self, z: Float) -> Iterator[tuple[slice, Float, Float]]:
        """Some rows at a time: their log density, and what each live component has of it."""
        from dagmm_model.kernels import arithmetic as kernels

        z = np.asarray(z, dtype=np.float64)
        centre, live, factors, constant = self.terms
        for start in range(0, len(z), DISTANCE_ROWS):
            part = slice(start, min(start + DISTANCE_ROWS, len(z)))
            # About the mixture's centre, which keeps the digits.
            centred = np.ones((len(centre) + 1, part.stop - start))
            np.subtract(z[part].T, centre[:, None], out=centred[:-1])
            weights, evidence = np.empty((len(live), part.stop - start)), np.empty(len(z[part]))
            kernels.evidence(factors @ centred, constant, weights, evidence)
            yield part, evidence, weights

    def energy(self, z: Float) -> Float:
        """Sample energy, ``-log sum_k phi_k N(z | mu_k, sigma_k)``: `equations.sample_energy`.

        Args:
            z: ``(n, L)`` latent rows.

        Returns:
            ``(n,)`` float64, higher = more anomalous. Negative where the density exceeds 1.
            There is no ceiling: the logarithm is taken of no sum that can underflow.
        """
        energy = np.empty(len(z))
        for part, evidence, _ in self._blocks(z):
            energy[part] = -evidence
        return energy

    def energy_and_posterior(self, z: Float) -> tuple[Float, Float]:
        """`energy`, and the probability ``(n, K)`` of each component given the row."""
        energy, posterior = np.empty(len(z)), np.zeros((len(self.phi), len(z)))
        for part, evidence, weights in self._blocks(z):
            energy[part] = -evidence
            posterior[self.terms[1], part] = weights
        return energy, posterior.T

    def posterior(self, z: Float) -> Float:
        """``(n, K)`` probability of each component given the row."""
        return self.energy_and_posterior(z)[1]

    def health(self) -> MixtureHealth:
        """Smallest share, condition numbers, effective number of components."""
        return mixture_health(self.phi, self.covariance)


def mixture_health(phi: Float, covariance: Float) -> MixtureHealth:
    """Health of a mixture given its shares ``(K,)`` and covariances ``(K, L, L)``."""
    eigenvalues = np.linalg.eigvalsh(covariance)
    with np.errstate(divide="ignore", invalid="ignore"):
        conditions = eigenvalues[:, -1] / np.maximum(eigenvalues[:, 0], 0.0)
    live = phi[phi > 0]
    return MixtureHealth(
        min_phi=float(phi.min()),
        max_condition=float(conditions.max()),
        conditions=tuple(float(c) for c in conditions),
        effective_components=float(np.exp(-(live * np.log(live)).sum())),
    )
