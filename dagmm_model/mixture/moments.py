"""Statistics of a mixture that can be merged (paper, equation 5).

A mixture computed in chunks, in any order and on any partition of the rows, equals the one computed
at once. The compiled loops are loaded where something is computed, see `mixture`.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from dagmm_model.base.arrays import Float
from dagmm_model.mixture.mixture import Mixture, MixtureError

EMPTY_SHARE = 1e-10
"""A component with a smaller share of the rows is empty: it takes no part in the energy."""


@dataclass(frozen=True)
class Moments:
    """Mergeable statistics of K components: soft counts, means, centred second moments.

    Example:
        >>> z, gamma = np.array([[0.0], [2.0], [4.0]]), np.ones((3, 1))
        >>> parts = Moments.of(z[:1], gamma[:1]).merge(Moments.of(z[1:], gamma[1:]))
        >>> parts.mixture(jitter=0.0).sigma.round(6).tolist()
        [[[2.666667]]]

    Attributes:
        weight: ``(K,)`` sums of the (weighted) memberships.
        mean: ``(K, L)`` component means.
        scatter: ``(K, L, L)`` sums of membership times centred outer products.
    """

    weight: Float
    mean: Float
    scatter: Float

    @classmethod
    def of(cls, z: Float, gamma: Float, sample_weight: Float | None = None) -> Self:
        """Moments of one chunk of rows (paper, equation 5).

        Args:
            z: ``(n, L)`` latent rows.
            gamma: ``(n, K)`` memberships, rows summing to one.
            sample_weight: ``(n,)`` non-negative weights, or None for ones.

        Returns:
            The moments; a component without weight has mean 0 and scatter 0.
        """
        from dagmm_model.kernels import mixture as kernels_mixture

        z = np.asarray(z, dtype=np.float64)
        gamma = np.asarray(gamma, dtype=np.float64)
        if sample_weight is not None:
            gamma = gamma * sample_weight[:, None]
        weight = gamma.sum(axis=0)
        safe = np.where(weight > 0, weight, 1.0)
        # Centred on the chunk's mean first: exact also for data far from the origin.
        origin = z.mean(axis=0) if len(z) else np.zeros(z.shape[1])
        mean = gamma.T @ (z - origin) / safe[:, None] + origin
        mean[weight <= 0] = 0.0
        scatter = np.empty((gamma.shape[1], z.shape[1], z.shape[1]))
        kernels_mixture.scatters(
            np.ascontiguousarray(z.T), np.ascontiguousarray(gamma.T), mean, scatter
        )
        return cls(weight, mean, scatter)

    def merge(self, other: Self) -> Self:
        """Moments of the union of two disjoint sets of rows, the between-set term included.

        The update of Chan, Golub and LeVeque (1979), weighted.
        """
        weight = self.weight + other.weight
        safe = np.where(weight > 0, weight, 1.0)
        delta = other.mean - self.mean
        share = other.weight / safe
        between = (self.weight * share)[:, None, None] * delta[:, :, None] * delta[:, None, :]
        return type(self)(
            weight, self.mean + share[:, None] * delta, self.scatter + other.scatter + between
        )

    def mixture(self, jitter: float, prior_rows: float = 0.0) -> Mixture:
        """The mixture of these moments: `equations.batch_mixture`.

        An empty component (share below `EMPTY_SHARE`) gets phi 0 and, for a defined answer, the
        mean and covariance of all rows. ``prior_rows`` with the covariance of all rows are added to
        the scatter of each component about its mean; with 0 it is the paper's covariance.

        Raises:
            MixtureError: the moments hold no rows or are not finite.
        """
        total = float(self.weight.sum())
        if not (np.isfinite(total) and total > 0 and np.isfinite(self.scatter).all()):
            raise MixtureError(
                "the latent rows give no finite mixture: no rows, or values that overflow; "
                "check the input's scaling or lower the learning rate"
            )
        phi = self.weight / total
        empty = phi < EMPTY_SHARE
        safe = np.where(empty, 1.0, self.weight)
        mean, sigma = self.mean.copy(), self.scatter / safe[:, None, None]
        if empty.any() or prior_rows > 0:
            centre = phi @ self.mean
            offset = self.mean - centre
            pooled = (self.scatter.sum(axis=0) + (offset.T * self.weight) @ offset) / total
            added = prior_rows / (self.weight + prior_rows) if prior_rows > 0 else 0.0 * phi
            sigma += added[:, None, None] * (pooled - sigma)
            mean[empty], sigma[empty] = centre, pooled
            phi = np.where(empty, 0.0, phi)
            phi = phi / phi.sum()
        return Mixture.stable(phi, mean, sigma, jitter)
