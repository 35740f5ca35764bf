"""Energy and penalty of a batch, with their gradients, in one kernel a member, in Triton, float64.

The same as `dagmm_model.engines.torch.mixture`, whose docstring has the notation: o = (z, 1) for a
row, T and U are sums over the rows of o o'. A program holds all rows of the batch, in vectors of
`N`; what is of components are scalars, and a matrix is a tuple of them. The loops are unrolled.
"""

# mypy: ignore-errors

import triton
import triton.language as tl

from dagmm_model.mixture.mixture import LOG_2PI, SMALLEST, VARIANCE_FLOOR, WEIGHT_FLOOR

_LOG_2PI, _SMALLEST = tl.constexpr(LOG_2PI), tl.constexpr(SMALLEST)
_VARIANCE_FLOOR, _WEIGHT_FLOOR = tl.constexpr(VARIANCE_FLOOR), tl.constexpr(WEIGHT_FLOOR)


@triton.jit
def mixture_kernel(
    z, gamma, error, weights, order, position, jitters, share, d_z, d_gamma, losses,
    phi_out, mu_out, covariance_out, n, S,
    reconstruction_weight: tl.constexpr, energy_weight: tl.constexpr,
    penalty_weight: tl.constexpr, row_scale: tl.constexpr,
    N: tl.constexpr, L: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """Losses ``(S, 4)``, gradients by z and gamma, the shares of the rows, and the mixture.

    Args:
        z: ``(S, n, L)`` latent rows.
        gamma: ``(S, n, K)`` memberships.
        error: ``(S, n)`` squared errors of the rows.
        weights: ``(m,)`` of all rows.
        order: ``(steps, S, n)`` of which rows the steps are.
        position: ``(1,)`` which step it is.
        jitters: ``(steps, S)`` relative jitter.
        row_scale: of the squared errors.
    """
    s = tl.program_id(0)
    step = tl.load(position) * S + s
    row = tl.arange(0, N)
    inside = row < n
    index = tl.load(order + step * n + row, mask=inside, other=0)
    part = tl.load(weights + index, mask=inside, other=0.0)
    part = part / tl.sum(part, axis=0)
    tl.store(share + s * n + row, part, mask=inside)
    off = row_scale * tl.sum(part * tl.load(error + s * n + row, mask=inside, other=0.0), axis=0)

    jitter = tl.load(jitters + step)
    at = s * n + row
    o, centre, spread, added = (), (), (), ()
    for i in tl.static_range(L):
        value = tl.load(z + at * L + i, mask=inside, other=0.0)
        middle = tl.sum(part * value, axis=0)
        value = tl.where(inside, value - middle, 0.0)
        wide = tl.sum(part * value * value, axis=0)
        o, centre, spread = o + (value,), centre + (middle,), spread + (wide,)
        added = added + (jitter * tl.maximum(wide, _VARIANCE_FLOOR),)

    # Of all components, one after another: phi, mu, sigma, precision, log of phi times density.
    safes, mus, sigmas, precisions, diagonals, joints = (), (), (), (), (), ()
    penalty = 0.0
    for k in tl.static_range(K):
        g = part * tl.load(gamma + at * K + k, mask=inside, other=0.0)
        phi, first, second = _moments(g, o, L)
        safe = tl.maximum(phi, _WEIGHT_FLOOR)
        mu, sigma, covariance = (), (), ()
        for i in tl.static_range(L):
            mu = mu + (first[i] / safe,)
        for i in tl.static_range(L):
            for j in tl.static_range(L):
                if j < i:
                    sigma = sigma + (sigma[j * L + i],)
                else:
                    sigma = sigma + (second[i * L + j] / safe - mu[i] * mu[j],)
                entry = sigma[i * L + j]
                if i == j:
                    entry += added[i]
                    penalty += 1.0 / entry
                    diagonals = diagonals + (entry,)
                covariance = covariance + (entry,)
                tl.store(covariance_out + ((s * K + k) * L + i) * L + j, entry)
            tl.store(mu_out + (s * K + k) * L + i, mu[i] + centre[i])
        tl.store(phi_out + s * K + k, phi)
        precision, log_det = _inverse(covariance, L)
        far = tl.zeros((N,), tl.float64)
        for i in tl.static_range(L):
            far += (o[i] - mu[i]) * _along(precision, o, mu, i, L)
        constant = tl.log(tl.maximum(phi, _SMALLEST)) - 0.5 * log_det - 0.5 * L * _LOG_2PI
        joints = joints + (constant - 0.5 * far,)
        safes, mus, sigmas = safes + (safe,), mus + (mu,), sigmas + (sigma,)
        precisions = precisions + (precision,)

    top = joints[0]
    for k in tl.static_range(1, K):
        top = tl.maximum(top, joints[k], propagate_nan=tl.PropagateNan.ALL)
    total = tl.zeros((N,), tl.float64)
    for k in tl.static_range(K):
        total += tl.exp(joints[k] - top)
    energy = -tl.sum(part * tl.where(inside, tl.log(total) + top, 0.0), axis=0)
    tl.store(
        losses + s * 4,
        reconstruction_weight * off + energy_weight * energy + penalty_weight * penalty,
    )
    tl.store(losses + s * 4 + 1, off)
    tl.store(losses + s * 4 + 2, energy)
    tl.store(losses + s * 4 + 3, penalty)

    pull, through = (), ()
    for _i in tl.static_range(L):
        pull, through = pull + (tl.zeros((N,), tl.float64),), through + (0.0,)
    for k in tl.static_range(K):
        mu, precision, sigma = mus[k], precisions[k], sigmas[k]
        w = energy_weight * part * tl.exp(joints[k] - top) / total
        w = tl.where(inside, w, 0.0)
        count, first, second = _moments(w, o, L)
        pulled, d_mu = (), ()
        for i in tl.static_range(L):
            pulled = pulled + (first[i] - mu[i] * count,)
        for i in tl.static_range(L):
            d_mu = d_mu + (-_line(precision, pulled, i, L),)
        centred = ()
        for i in tl.static_range(L):
            for j in tl.static_range(L):
                entry = second[i * L + j] - mu[i] * first[j] - pulled[i] * mu[j]
                centred = centred + (entry,)
        inner = _product(_product(precision, centred, L), precision, L)
        d_sigma, passed = (), ()
        for i in tl.static_range(L):
            for j in tl.static_range(L):
                if j < i:
                    d_sigma = d_sigma + (d_sigma[j * L + i],)
                else:
                    entry = 0.5 * (count * precision[i * L + j] - inner[i * L + j])
                    if i == j:
                        variance = diagonals[k * L + i]
                        entry -= penalty_weight / (variance * variance)
                        passed = passed + (through[i] + entry,)
                    d_sigma = d_sigma + (entry,)
        through = passed
        # By the moments, as a form in (z, 1): its border, and its corner.
        border, corner = (), -count
        for i in tl.static_range(L):
            turned = _line(d_sigma, mu, i, L)
            corner += mu[i] * (turned - d_mu[i]) - _entries(d_sigma, sigma, i, L)
            border = border + ((0.5 * d_mu[i] - turned) / safes[k],)
        g = part * tl.load(gamma + at * K + k, mask=inside, other=0.0)
        by_gamma = tl.zeros((N,), tl.float64) + corner / safes[k]
        pulls = ()
        for i in tl.static_range(L):
            across = tl.zeros((N,), tl.float64) + border[i]
            for j in tl.static_range(L):
                across += d_sigma[i * L + j] / safes[k] * o[j]
            by_gamma += (across + border[i]) * o[i]
            more = 0.5 * w * _along(precision, o, mu, i, L) + g * across
            pulls = pulls + (pull[i] + more,)
        pull = pulls
        tl.store(d_gamma + at * K + k, part * by_gamma, mask=inside)
    for i in tl.static_range(L):
        by_spread = tl.where(spread[i] > _VARIANCE_FLOOR, jitter * through[i], 0.0)
        tl.store(d_z + at * L + i, 2.0 * (pull[i] + by_spread * part * o[i]), mask=inside)


@triton.jit
def _moments(weight, o, L: tl.constexpr):
    """Sums of a weight ``(N,)``, and of it times the coordinates and their products."""
    values = (weight,)
    for i in tl.static_range(L):
        values = values + (weight * o[i],)
    for i in tl.static_range(L):
        for j in tl.static_range(i, L):
            values = values + (weight * o[i] * o[j],)
    sums = _sums(values, (L + 1) * (L + 2) // 2)
    first, second = (), ()
    for i in tl.static_range(L):
        first = first + (sums[1 + i],)
    for i in tl.static_range(L):
        for j in tl.static_range(L):
            if j < i:
                second = second + (second[j * L + i],)
            else:
                second = second + (sums[1 + L + i * L - i * (i - 1) // 2 + j - i],)
    return sums[0], first, second


@triton.jit
def _sums(values, COUNT: tl.constexpr):
    """Sums of vectors, five at a time: a sum takes its time by waiting for the other warps."""
    result = ()
    for v in tl.static_range(0, COUNT - COUNT % 5, 5):
        five = (values[v], values[v + 1], values[v + 2], values[v + 3], values[v + 4])
        result = result + tl.reduce(five, 0, _add_five)
    for v in tl.static_range(COUNT - COUNT % 5, COUNT):
        result = result + (tl.sum(values[v], axis=0),)
    return result


@triton.jit
def _add_five(a, b, c, d, e, f, g, h, i, j):
    return a + f, b + g, c + h, d + i, e + j


@triton.jit
def _inverse(matrix, L: tl.constexpr):
    """Inverse and log-determinant, see `dagmm_model.engines.torch.mixture.inverse`."""
    scale, work = (), ()
    log_det = 0.0
    for i in tl.static_range(L):
        scale = scale + (tl.rsqrt(matrix[i * L + i]),)
        log_det += tl.log(matrix[i * L + i])
    for i in tl.static_range(L):
        for j in tl.static_range(L):
            work = work + (matrix[i * L + j] * scale[i] * scale[j],)
    for c in tl.static_range(L):
        pivot = work[c * L + c]
        log_det += tl.log(pivot)
        step = ()
        for i in tl.static_range(L):
            for j in tl.static_range(L):
                column, line = work[i * L + c], work[c * L + j]
                if i == c:
                    column -= 1.0
                if j == c:
                    line += 1.0
                step = step + (work[i * L + j] - column * (line / pivot),)
        work = step
    inverse = ()
    for i in tl.static_range(L):
        for j in tl.static_range(L):
            if j < i:
                inverse = inverse + (inverse[j * L + i],)
            else:
                inverse = inverse + (work[i * L + j] * scale[i] * scale[j],)
    return inverse, log_det


@triton.jit
def _line(matrix, vector, i: tl.constexpr, L: tl.constexpr):
    """Entry i of a matrix times a vector."""
    value = matrix[i * L] * vector[0]
    for j in tl.static_range(1, L):
        value += matrix[i * L + j] * vector[j]
    return value


@triton.jit
def _along(matrix, o, mu, i: tl.constexpr, L: tl.constexpr):
    """Entry i of a matrix times the centred rows."""
    value = matrix[i * L] * (o[0] - mu[0])
    for j in tl.static_range(1, L):
        value += matrix[i * L + j] * (o[j] - mu[j])
    return value


@triton.jit
def _entries(one, other, i: tl.constexpr, L: tl.constexpr):
    """Sum of the products of two matrices' entries in line i."""
    value = one[i * L] * other[i * L]
    for j in tl.static_range(1, L):
        value += one[i * L + j] * other[i * L + j]
    return value


@triton.jit
def _product(one, other, L: tl.constexpr):
    """Product of two matrices."""
    result = ()
    for i in tl.static_range(L):
        for j in tl.static_range(L):
            value = one[i * L] * other[j]
            for m in tl.static_range(1, L):
                value += one[i * L + m] * other[m * L + j]
            result = result + (value,)
    return result
