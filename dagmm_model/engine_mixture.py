"""Energy and penalty of a batch with their gradients by z and gamma, derived by hand, float64.

With shares a_n summing to one, memberships g_nk = a_n gamma_nk, P_k the inverse of the jittered
covariance, r_nk the posterior, and J = l1 sum_n a_n E_n + l2 sum_kd 1 / sigma_kdd:

    w_nk = l1 a_n r_nk,  W_k = sum_n w_nk,  m_k = -P_k sum_n w_nk c_nk      (c_nk = z_n - mu_k)
    S_k  = dJ/dsigma_k = (W_k P_k - P_k [sum_n w_nk c_nk c_nk'] P_k) / 2 - l2 diag(sigma_kdd^-2)
    dJ/dg_nk = (c_nk' S_k c_nk + c_nk' m_k - tr(S_k sigma_k) - W_k) / phi_k
    dJ/dz_n  = sum_k [ w_nk P_k c_nk + g_nk (2 S_k c_nk + m_k) / phi_k ]
               + 2 jitter a_n (sum_k S_kdd) (z_n - mean)_d
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dagmm_model.mixture import LOG_2PI, VARIANCE_FLOOR, WEIGHT_FLOOR

Float = NDArray[np.float64]


class MixtureTerm:
    """Preallocated arrays for S members, K components, L coordinates, n rows."""

    def __init__(self, members: int, components: int, width: int, rows: int) -> None:
        full = (members, components, width, rows)
        flat = (members, components, rows)
        self._centred, self._scratch = np.empty(full), np.empty(full)
        # Centred rows times posterior, and times membership, together for one matrix product.
        self._pulls = np.empty((members, 2, components, width, rows))
        self._g, self._posterior, self._form = np.empty(flat), np.empty(flat), np.empty(flat)
        self._diagonal = np.arange(width)
        self.d_z = np.empty((members, width, rows))
        """``(S, L, n)`` gradient by z, after `backward`."""
        self.d_gamma = np.empty(flat)
        """``(S, K, n)`` gradient by gamma, after `backward`."""
        self.phi = np.empty((members, components))
        self.covariance = np.empty((members, components, width, width))

    def forward(self, z: Float, gamma: Float, share: Float, jitter: float) -> tuple[Float, Float]:
        """Mean energy and penalty of each member, ``(S,)`` each.

        Args:
            z: ``(S, L, n)``.
            gamma: ``(S, K, n)``.
            share: ``(S, 1, n)``, summing to one over n.
            jitter: relative jitter.

        Raises:
            numpy.linalg.LinAlgError: a covariance is not positive definite.
        """
        self._z, self._share, self._jitter = z, share, jitter
        g = np.multiply(gamma, share, out=self._g)
        self.phi = phi = g.sum(axis=2)
        self._safe = safe = np.maximum(phi, WEIGHT_FLOOR)
        mu = np.matmul(g, z.swapaxes(1, 2)) / safe[..., None]
        centred = np.subtract(z[:, None], mu[..., None], out=self._centred)
        product = np.multiply(g[:, :, None], centred, out=self._pulls[:, 1])
        sigma = np.matmul(product, centred.swapaxes(2, 3)) / safe[..., None, None]
        self._sigma = sigma
        self._mean = np.matmul(z, share.swapaxes(1, 2))
        around = z - self._mean
        self._around = around
        self._spread = np.matmul(around**2, share.swapaxes(1, 2))[..., 0]
        added = jitter * np.maximum(self._spread, VARIANCE_FLOOR)
        self.covariance = covariance = sigma.copy()
        d = self._diagonal
        covariance[:, :, d, d] += added[:, None]
        factor = np.linalg.cholesky(covariance)
        self._inverse = inverse = np.linalg.inv(factor)
        log_det = np.log(factor[:, :, d, d]).sum(axis=2)
        constant = np.log(np.maximum(phi, 1e-300)) - log_det - 0.5 * len(d) * LOG_2PI
        white = np.matmul(inverse, centred, out=self._scratch)
        np.multiply(white, white, out=white)
        logits = white.sum(axis=2, out=self._posterior)
        logits *= -0.5
        logits += constant[..., None]
        top = logits.max(axis=1, keepdims=True)
        logits -= top
        np.exp(logits, out=logits)
        total = logits.sum(axis=1, keepdims=True)
        logits /= total
        energy = -np.matmul(np.log(total) + top, share.swapaxes(1, 2))[:, 0, 0]
        penalty = (1.0 / covariance[:, :, d, d]).sum(axis=(1, 2))
        return energy, penalty

    def backward(self, lambda_energy: float, lambda_penalty: float) -> None:
        """Gradients of ``lambda_energy * energy + lambda_penalty * penalty`` of `forward`."""
        d, centred, safe = self._diagonal, self._centred, self._safe
        w = np.multiply(self._posterior, lambda_energy * self._share, out=self._posterior)
        w_sum = w.sum(axis=2)
        weighted = np.multiply(w[:, :, None], centred, out=self._pulls[:, 0])
        first = weighted.sum(axis=3)
        second = np.matmul(weighted, centred.swapaxes(2, 3))
        precision = np.matmul(self._inverse.swapaxes(2, 3), self._inverse)
        d_mu = -np.matmul(precision, first[..., None])
        d_sigma = 0.5 * (
            w_sum[..., None, None] * precision - np.matmul(np.matmul(precision, second), precision)
        )
        d_sigma[:, :, d, d] -= lambda_penalty / self.covariance[:, :, d, d] ** 2
        # z: the posterior's pull, then the way through mu and sigma
        factors = np.stack([precision, 2.0 * d_sigma / safe[..., None, None]], axis=1)
        members, _, _, width, rows = self._pulls.shape
        factors = np.moveaxis(factors, 3, 1).reshape(members, width, -1)
        d_z = np.matmul(factors, self._pulls.reshape(members, -1, rows), out=self.d_z)
        d_z += np.matmul((d_mu[..., 0] / safe[..., None]).swapaxes(1, 2), self._g)
        through = (
            2.0
            * self._jitter
            * np.where(self._spread > VARIANCE_FLOOR, d_sigma[:, :, d, d].sum(axis=1), 0.0)
        )
        np.multiply(self._around, through[..., None], out=self._around)
        self._around *= self._share
        d_z += self._around
        # gamma
        form = np.matmul(d_sigma, centred, out=self._scratch)
        form += d_mu
        form *= centred
        d_gamma = form.sum(axis=2, out=self.d_gamma)
        constant = (d_sigma * self._sigma).sum(axis=(2, 3)) + w_sum
        d_gamma -= constant[..., None]
        d_gamma /= safe[..., None]
        d_gamma *= self._share
