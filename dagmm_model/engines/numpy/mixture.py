"""Energy and penalty of a batch with their gradients by z and gamma, derived by hand, float64.

Everything that is as long as the batch is a matrix product with F, the products of the entries of
(z, 1), one row for each pair i <= j. With shares a_n summing to one and g_nk = a_n gamma_nk:

    T = g F'                       phi, mu and sigma of every component
    q = C F                        squared distances, C from the inverse P of the covariance and mu
    U = w F',  w = l1 a r          sums over the posterior r, from which S = dJ/dsigma, m = dJ/dmu
    dJ/dg = V F                    V = dJ/dT
    dJ/dz = D (z, 1)               D from C w / 2 + V g + t a, t from the jitter

    S_k = (W_k P_k - P_k [sum_n w c c'] P_k) / 2 - l2 diag(sigma_kdd^-2),   c = z_n - mu_k
    m_k = -P_k sum_n w c,   W_k = sum_n w

The variational bound takes gamma in place of the posterior, w = l1 a gamma, and has a gradient by
gamma of its own, l1 a (log gamma - log joint + 1).

z is centred on the batch first. What then cancels in sigma = T / phi - mu mu' is about 1e-16 of the
variance of all rows: nothing beside the jitter, which is relative to the same variance.

Where ranks share a batch, the sums over n are those of all ranks: the mean, T, U. All else follows
from them or is a row's own, so every rank finds the gradients of the whole batch at its own rows.
"""

from collections.abc import Callable

import numpy as np

from dagmm_model.base.arrays import Float
from dagmm_model.base.distributed import ALONE
from dagmm_model.kernels import arithmetic as kernels
from dagmm_model.kernels import mixture as kernels_mixture
from dagmm_model.mixture.mixture import SMALLEST, VARIANCE_FLOOR, WEIGHT_FLOOR

FLOORS = WEIGHT_FLOOR, SMALLEST, VARIANCE_FLOOR


class MixtureTerm:
    """`equations.mixture_term` and its gradients, on preallocated arrays.

    Of S members, K components, L coordinates, n rows of this rank; ``total`` sums an array over
    the ranks.
    """

    def __init__(
        self,
        members: int,
        components: int,
        width: int,
        rows: int,
        total: Callable[[Float], Float] = ALONE.sum,
    ) -> None:
        self._total = total
        i, j = np.triu_indices(width + 1)
        self._pair = np.empty((width + 1, width + 1), dtype=np.int64)
        self._pair[i, j] = self._pair[j, i] = np.arange(len(i))
        self._components = components
        self._one = np.ones((members, width + 1, rows))
        self._f = np.empty((members, len(i), rows))
        self._q = np.empty((members, components, rows))
        # Posterior weights, memberships and shares, together for one matrix product.
        self._weights = np.empty((members, 2 * components + 1, rows))
        by_row = members, components
        self.phi, self._mu = np.empty(by_row), np.empty((*by_row, width))
        self._sigma, self.covariance, self._precision = np.empty((3, *by_row, width, width))
        self._spread, self._constant = np.empty((members, width)), np.empty(by_row)
        self._distance, self._by_moments = np.empty((2, *by_row, len(i)))
        self._pull = np.empty((members, len(i) - 1, 2 * components + 1))
        self._pulls = np.empty((members, len(i) - 1, rows))
        self._excess: Float | None = None
        self.singular = np.zeros(members, np.bool_)
        """``(S,)``, which members have a covariance that is not positive definite."""
        self.d_z = np.zeros((members, width, rows))
        """``(S, L, n)`` gradient by z, after `backward`."""
        self.d_gamma = np.empty((members, components, rows))
        """``(S, K, n)`` gradient by gamma, after `backward`."""

    def forward(
        self,
        z: Float,
        gamma: Float,
        share: Float,
        jitter: Float,
        variational: bool = False,
        centred: bool = False,
    ) -> tuple[Float, Float]:
        """Mean energy (or its bound) and penalty of each member, ``(S,)`` each.

        Of the energy it is this rank's share; the ranks' add up to the mean.

        Args:
            z: ``(S, L, n)``.
            gamma: ``(S, K, n)``.
            share: ``(S, 1, n)``, summing to one over the rows of all ranks.
            jitter: ``(S,)`` relative jitter.
            variational: the variational bound in place of the energy.
            centred: whether z has mean 0 over the batch already.

        Raises:
            numpy.linalg.LinAlgError: a covariance is not positive definite.
        """
        k = self._components
        self._share, self._jitter = share, jitter
        centre = 0.0 if centred else self._total(np.matmul(z, share.swapaxes(1, 2)))
        np.subtract(z, centre, out=self._one[:, :-1])
        kernels_mixture.products(self._one, self._f)
        g = np.multiply(gamma, share, out=self._weights[:, k : 2 * k])
        moments = self._total(np.matmul(g, self._f.swapaxes(1, 2)))
        penalty = np.empty(len(z))
        kernels_mixture.components(
            moments, jitter, self._pair, FLOORS, self.phi, self._mu, self._sigma, self.covariance,
            self._precision, self._spread, self._distance, self._constant, penalty, self.singular,
        )  # fmt: skip
        if self.singular.any():
            raise np.linalg.LinAlgError("a covariance is not positive definite")
        np.matmul(self._distance, self._f, out=self._q)
        if not variational:
            self._excess = None
            return kernels.posterior(self._q, self._constant, self._weights, share), penalty
        joint = self._constant[..., None] - 0.5 * self._q
        self._excess = np.log(np.maximum(gamma, SMALLEST)) - joint
        self._weights[:, :k] = gamma
        bound = np.matmul((gamma * self._excess).sum(axis=1, keepdims=True), share.swapaxes(1, 2))
        return bound[:, 0, 0], penalty

    def backward(self, lambda_energy: float, lambda_penalty: float) -> None:
        """Gradients of ``lambda_energy * energy + lambda_penalty * penalty`` of `forward`."""
        k = self._components
        w = self._weights[:, :k]
        w *= lambda_energy * self._share
        sums = self._total(np.matmul(w, self._f.swapaxes(1, 2)))
        mixture = (
            self.phi, self._mu, self._sigma, self.covariance, self._precision, self._spread
        )  # fmt: skip
        kernels_mixture.through_components(
            sums, self._jitter, self._pair, FLOORS, mixture, self._distance, lambda_penalty,
            self._by_moments, self._pull,
        )  # fmt: skip
        np.matmul(self._by_moments, self._f, out=self.d_gamma)
        if self._excess is not None:
            self._excess += 1.0
            self._excess *= lambda_energy
            self.d_gamma += self._excess
        self.d_gamma *= self._share
        self._weights[:, 2 * k :] = self._share
        np.matmul(self._pull, self._weights, out=self._pulls)
        kernels_mixture.pulled(self._pulls, self._one, self._pair, self.d_z)
