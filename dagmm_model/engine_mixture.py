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

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dagmm_model.distributed import ALONE
from dagmm_model.mixture import LOG_2PI, SMALLEST, VARIANCE_FLOOR, WEIGHT_FLOOR

Float = NDArray[np.float64]


class MixtureTerm:
    """Preallocated arrays for S members, K components, L coordinates, n rows.

    Args:
        members: S.
        components: K.
        width: L.
        rows: n, those of this rank.
        total: sums an array over the ranks.
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
        pairs = len(i)
        # Where the pair (i, j) is among the rows of F and in a flat matrix, and how often it occurs
        # in a quadratic form.
        self._pair = np.empty((width + 1, width + 1), dtype=np.int64)
        self._pair[i, j] = self._pair[j, i] = np.arange(pairs)
        self._flat = i * (width + 1) + j
        self._times = np.where(i == j, 1.0, 2.0)
        self._width, self._components = width, components
        self._one = np.ones((members, width + 1, rows))
        self._f = np.empty((members, pairs, rows))
        # Posterior weights, memberships and shares, together for one matrix product.
        self._weights = np.empty((members, 2 * components + 1, rows))
        self._pull = np.empty((members, width * (width + 1), rows))
        self.d_z = np.zeros((members, width, rows))
        """``(S, L, n)`` gradient by z, after `backward`."""
        self.d_gamma = np.empty((members, components, rows))
        """``(S, K, n)`` gradient by gamma, after `backward`."""
        self.phi = np.empty((members, components))
        self._excess: Float | None = None
        self.covariance = np.empty((members, components, width, width))

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
        self._share, self._jitter = share, jitter[:, None]
        centre = 0.0 if centred else self._total(np.matmul(z, share.swapaxes(1, 2)))
        np.subtract(z, centre, out=self._one[:, :-1])
        start = 0
        for i in range(self._width + 1):
            stop = start + self._width + 1 - i
            np.multiply(self._one[:, i : i + 1], self._one[:, i:], out=self._f[:, start:stop])
            start = stop
        g = np.multiply(gamma, share, out=self._weights[:, k : 2 * k])
        moments = self._total(np.matmul(g, self._f.swapaxes(1, 2)))
        full = np.take(moments, self._pair, axis=2)
        self.phi = phi = full[:, :, -1, -1].copy()
        self._safe = safe = np.maximum(phi, WEIGHT_FLOOR)
        self._mu = mu = full[:, :, :-1, -1] / safe[..., None]
        self._sigma = full[:, :, :-1, :-1] / safe[..., None, None]
        self._sigma -= mu[..., :, None] * mu[..., None, :]
        self._spread = diagonals(full)[:, :, :-1].sum(axis=1)
        self.covariance = covariance = self._sigma.copy()
        added = self._jitter * np.maximum(self._spread, VARIANCE_FLOOR)
        diagonals(covariance)[...] += added[:, None]
        factor = np.linalg.cholesky(covariance)
        inverse = np.linalg.inv(factor)
        self._precision = precision = np.matmul(inverse.swapaxes(2, 3), inverse)
        self._towards = towards = np.matmul(precision, mu[..., None])[..., 0]
        self._distance = self._form(precision, -towards, (mu * towards).sum(axis=2))
        log_det = np.log(diagonals(factor)).sum(axis=2)
        constant = np.log(np.maximum(phi, SMALLEST)) - log_det - 0.5 * self._width * LOG_2PI
        penalty = (1.0 / diagonals(covariance)).sum(axis=(1, 2))
        posterior = np.matmul(self._distance, self._f, out=self._weights[:, :k])
        posterior *= -0.5
        posterior += constant[..., None]
        if variational:
            self._excess = np.log(np.maximum(gamma, SMALLEST)) - posterior
            energy = np.matmul(
                (gamma * self._excess).sum(axis=1, keepdims=True), share.swapaxes(1, 2)
            )
            posterior[...] = gamma
            return energy[:, 0, 0], penalty
        self._excess = None
        top = posterior.max(axis=1, keepdims=True)
        posterior -= top
        np.exp(posterior, out=posterior)
        total = posterior.sum(axis=1, keepdims=True)
        posterior /= total
        energy = -np.matmul(np.log(total) + top, share.swapaxes(1, 2))[:, 0, 0]
        return energy, penalty

    def backward(self, lambda_energy: float, lambda_penalty: float) -> None:
        """Gradients of ``lambda_energy * energy + lambda_penalty * penalty`` of `forward`."""
        k, mu, precision = self._components, self._mu, self._precision
        w = self._weights[:, :k]
        w *= lambda_energy * self._share
        sums = self._total(np.matmul(w, self._f.swapaxes(1, 2)))
        full = np.take(sums, self._pair, axis=2)
        w_sum, first = full[:, :, -1, -1], full[:, :, :-1, -1]
        centred = first - w_sum[..., None] * mu
        cross = mu[..., :, None] * first[..., None, :]
        second = full[:, :, :-1, :-1] - cross - cross.swapaxes(2, 3)
        second += (w_sum[..., None] * mu)[..., :, None] * mu[..., None, :]
        d_mu = -np.matmul(precision, centred[..., None])[..., 0]
        d_sigma = 0.5 * (
            w_sum[..., None, None] * precision - np.matmul(np.matmul(precision, second), precision)
        )
        by_variance = diagonals(d_sigma)
        by_variance -= lambda_penalty / diagonals(self.covariance) ** 2
        # by the moments: sigma = T / phi - mu mu', mu = T / phi
        pulled = np.matmul(d_sigma, mu[..., None])[..., 0]
        constant = (mu * (pulled - d_mu)).sum(axis=2) - w_sum
        constant -= (d_sigma * self._sigma).sum(axis=(2, 3))
        by_moments = self._form(d_sigma, 0.5 * d_mu - pulled, constant)
        by_moments /= self._safe[..., None]
        np.matmul(by_moments, self._f, out=self.d_gamma)
        if self._excess is not None:
            self._excess += 1.0
            self._excess *= lambda_energy
            self.d_gamma += self._excess
        self.d_gamma *= self._share
        # by z: through the distances, the moments and the jitter
        through = np.where(self._spread > VARIANCE_FLOOR, by_variance.sum(axis=1), 0.0)
        by_spread = np.zeros((len(mu), 1, len(self._times)))
        by_spread[:, 0, np.diagonal(self._pair)[:-1]] = self._jitter * through
        by_f = np.concatenate([0.5 * self._distance, by_moments, by_spread], axis=1)
        by_f *= 2.0 / self._times  # a square's derivative is twice its root
        self._weights[:, 2 * k :] = self._share
        rows = self._pair[:-1].ravel()
        np.matmul(by_f[:, :, rows].swapaxes(1, 2), self._weights, out=self._pull)
        pull = self._pull.reshape(len(mu), self._width, self._width + 1, -1)
        pull *= self._one[:, None]
        pull.sum(axis=2, out=self.d_z)

    def _form(self, square: Float, linear: Float, constant: Float) -> Float:
        """Coefficients of z' square z + 2 linear' z + constant by the rows of F."""
        width = self._width
        full = np.empty((*square.shape[:2], width + 1, width + 1))
        full[:, :, :-1, :-1] = square
        full[:, :, :-1, -1] = full[:, :, -1, :-1] = linear
        full[:, :, -1, -1] = constant
        result: Float = np.take(full.reshape(*full.shape[:2], -1), self._flat, axis=2)
        result *= self._times
        return result


def diagonals(matrices: NDArray[np.floating]) -> Float:
    """Writable view ``(S, K, L)`` of the diagonals of ``(S, K, L, L)``."""
    view: Float = np.einsum("skii->ski", matrices)
    return view
