"""Compiled loops of mixtures: algebra on small matrices, sums over rows; see `arithmetic`.

The formulas are those of `engines.numpy.mixture`.
"""

import math

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.kernels.arithmetic import compiled, inlined

CACHED_ROWS = 256
"""Rows whose coordinates stay in a processor's nearest cache."""


@compiled
def products(centred: Float, pairs: Float) -> None:
    """Products of all pairs of the rows of (z, 1) ``(S, L + 1, n)``."""
    members, rows, n = centred.shape
    for s in range(members):
        p = 0
        for i in range(rows):
            for k in range(i, rows):
                for j in range(n):
                    pairs[s, p, j] = centred[s, i, j] * centred[s, k, j]
                p += 1


@inlined
def invert(matrix: Float, inverse: Float) -> float:
    """Write the inverse of a covariance ``(L, L)``; half its log determinant, NaN if singular."""
    width = len(matrix)
    factor, root = np.zeros((width, width)), np.zeros((width, width))
    half = 0.0
    for i in range(width):
        for k in range(i + 1):
            remainder = matrix[i, k]
            for m in range(k):
                remainder -= factor[i, m] * factor[k, m]
            if k < i:
                factor[i, k] = remainder / factor[k, k]
            elif remainder > 0.0:
                factor[i, i] = math.sqrt(remainder)
                half += math.log(factor[i, i])
            else:
                return math.nan
    for k in range(width):
        root[k, k] = 1.0 / factor[k, k]
        for i in range(k + 1, width):
            remainder = 0.0
            for m in range(k, i):
                remainder -= factor[i, m] * root[m, k]
            root[i, k] = remainder / factor[i, i]
    for i in range(width):
        for k in range(i + 1):
            total = 0.0
            for m in range(i, width):
                total += root[m, i] * root[m, k]
            inverse[i, k] = inverse[k, i] = total
    return half


@compiled
def components(
    moments: Float, jitter: Float, pair: NDArray[np.int64], floors: tuple[float, float, float],
    phi: Float, mu: Float, sigma: Float, covariance: Float, precision: Float, spread: Float,
    distance: Float, constant: Float, penalty: Float, singular: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Mixtures from their moments, and what gives a row's energy.

    Args:
        moments: ``(S, K, P)`` sums over the rows, by pairs of the coordinates of (z, 1).
        jitter: ``(S,)``.
        pair: ``(L + 1, L + 1)`` where a pair is.
        floors: least weight, weight in a logarithm, and variance.
        phi: ``(S, K)``; like all that follow, written.
        mu: ``(S, K, L)``.
        sigma: ``(S, K, L, L)`` without jitter.
        covariance: ``(S, K, L, L)`` with it.
        precision: ``(S, K, L, L)`` inverse.
        spread: ``(S, L)`` variance over all rows.
        distance: ``(S, K, P)`` coefficients of the squared distance.
        constant: ``(S, K)`` logarithm of the density at distance 0, weight included.
        penalty: ``(S,)``.
        singular: ``(S,)`` whether a covariance has no inverse; nothing else of that member counts.
    """
    members, count, width = mu.shape
    half_turn = 0.5 * width * math.log(2.0 * math.pi)
    for s in range(members):
        singular[s], penalty[s] = False, 0.0
        for d in range(width):
            spread[s, d] = 0.0
            for k in range(count):
                spread[s, d] += moments[s, k, pair[d, d]]
        for k in range(count):
            weight = phi[s, k] = moments[s, k, pair[width, width]]
            by_weight = 1.0 / max(weight, floors[0])
            for d in range(width):
                mu[s, k, d] = moments[s, k, pair[d, width]] * by_weight
            for a in range(width):
                for b in range(width):
                    value = moments[s, k, pair[a, b]] * by_weight - mu[s, k, a] * mu[s, k, b]
                    sigma[s, k, a, b] = covariance[s, k, a, b] = value
                covariance[s, k, a, a] += jitter[s] * max(spread[s, a], floors[2])
                penalty[s] += 1.0 / covariance[s, k, a, a]
            half = invert(covariance[s, k], precision[s, k])
            singular[s] |= math.isnan(half)
            constant[s, k] = math.log(max(weight, floors[1])) - half - half_turn
            at_zero = 0.0
            for a in range(width):
                towards = 0.0
                for b in range(width):
                    towards += precision[s, k, a, b] * mu[s, k, b]
                    if b >= a:
                        twice = 1.0 if a == b else 2.0
                        distance[s, k, pair[a, b]] = twice * precision[s, k, a, b]
                distance[s, k, pair[a, width]] = -2.0 * towards
                at_zero += towards * mu[s, k, a]
            distance[s, k, pair[width, width]] = at_zero


@compiled
def through_components(
    sums: Float, jitter: Float, pair: NDArray[np.int64], floors: tuple[float, float, float],
    mixture: tuple[Float, Float, Float, Float, Float, Float], distance: Float,
    lambda_penalty: float, by_moments: Float, pull: Float,
) -> None:  # fmt: skip
    """Gradients by the moments, and of a row's coordinates.

    Args:
        sums: ``(S, K, P)`` sums over the posterior, like the moments.
        jitter: ``(S,)``.
        pair: ``(L + 1, L + 1)``.
        floors: as for `components`.
        mixture: phi, mu, sigma, covariance, precision and spread.
        distance: ``(S, K, P)``.
        lambda_penalty: weight of the penalty.
        by_moments: ``(S, K, P)``, written.
        pull: ``(S, P - 1, 2 K + 1)``, written: the derivative by each pair of a row's coordinates,
            as a sum over its posterior weights, memberships and share.
    """
    phi, mu, sigma, covariance, precision, spread = mixture
    members, count, width = mu.shape
    half = np.empty((width, width))
    d_sigma, second = np.empty((width, width)), np.empty((width, width))
    centred, d_mu = np.empty(width), np.empty(width)
    for s in range(members):
        through = np.zeros(width)
        for k in range(count):
            inverse, m = precision[s, k], mu[s, k]
            weight = sums[s, k, pair[width, width]]
            for a in range(width):
                centred[a] = sums[s, k, pair[a, width]] - weight * m[a]
            for a in range(width):
                d_mu[a] = 0.0
                for b in range(width):
                    d_mu[a] -= inverse[a, b] * centred[b]
                    second[a, b] = (
                        sums[s, k, pair[a, b]] - m[a] * sums[s, k, pair[b, width]]
                        - centred[a] * m[b]
                    )  # fmt: skip
            for a in range(width):
                for b in range(width):
                    total = 0.0
                    for c in range(width):
                        total += inverse[a, c] * second[c, b]
                    half[a, b] = total
            constant = -weight
            for a in range(width):
                for b in range(width):
                    total = weight * inverse[a, b]
                    for c in range(width):
                        total -= half[a, c] * inverse[c, b]
                    d_sigma[a, b] = 0.5 * total
                d_sigma[a, a] -= lambda_penalty / covariance[s, k, a, a] ** 2
                through[a] += d_sigma[a, a]
            # By the moments: sigma = T / phi - mu mu', mu = T / phi.
            by_weight = 1.0 / max(phi[s, k], floors[0])
            for a in range(width):
                pulled = 0.0
                for b in range(width):
                    pulled += d_sigma[a, b] * m[b]
                    constant -= d_sigma[a, b] * sigma[s, k, a, b]
                    if b >= a:
                        twice = 1.0 if a == b else 2.0
                        by_moments[s, k, pair[a, b]] = twice * d_sigma[a, b] * by_weight
                constant += m[a] * (pulled - d_mu[a])
                by_moments[s, k, pair[a, width]] = (d_mu[a] - 2.0 * pulled) * by_weight
            by_moments[s, k, pair[width, width]] = constant * by_weight
            for p in range(pull.shape[1]):
                pull[s, p, k] = 0.5 * distance[s, k, p]
                pull[s, p, count + k] = by_moments[s, k, p]
        for p in range(pull.shape[1]):
            pull[s, p, 2 * count] = 0.0
        for a in range(width):
            if spread[s, a] > floors[2]:
                pull[s, pair[a, a], 2 * count] = jitter[s] * through[a]


@compiled
def pulled(pull: Float, centred: Float, pair: NDArray[np.int64], d_z: Float) -> None:
    """Gradient by z ``(S, L, n)`` of that by the pairs ``(S, P - 1, n)`` of (z, 1)."""
    members, width, n = d_z.shape
    for s in range(members):
        for a in range(width):
            out = d_z[s, a]
            for j in range(n):
                out[j] = 0.0
            for b in range(width + 1):
                by, row = pull[s, pair[a, b]], centred[s, b]
                twice = 2.0 if a == b else 1.0
                for j in range(n):
                    out[j] += twice * by[j] * row[j]


@compiled
def scatters(z: Float, gamma: Float, mean: Float, scatter: Float) -> None:
    """Sums of membership times centred outer products, to scatter ``(K, L, L)``.

    Args:
        z: ``(L, n)``.
        gamma: ``(K, n)``.
        mean: ``(K, L)``.
        scatter: written.
    """
    count, width = mean.shape
    n = z.shape[1]
    centred, weighted = np.empty((width, CACHED_ROWS)), np.empty(CACHED_ROWS)
    for k in range(count):
        for a in range(width):
            for b in range(width):
                scatter[k, a, b] = 0.0
        for start in range(0, n, CACHED_ROWS):
            size = min(CACHED_ROWS, n - start)
            share = gamma[k, start : start + size]
            for a in range(width):
                row, out = z[a, start : start + size], centred[a]
                for j in range(size):
                    out[j] = row[j] - mean[k, a]
            for a in range(width):
                row = centred[a]
                for j in range(size):
                    weighted[j] = share[j] * row[j]
                for b in range(a + 1):
                    other, total = centred[b], 0.0
                    for j in range(size):
                        total += weighted[j] * other[j]
                    scatter[k, a, b] += total
        for a in range(width):
            for b in range(a):
                scatter[k, b, a] = scatter[k, a, b]
