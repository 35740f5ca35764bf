"""Compiled loops of a training step that need neither tanh nor exp; see `arithmetic`."""

import math

import numpy as np

from dagmm_model.base.arrays import Array, Float
from dagmm_model.kernels.arithmetic import compiled


@compiled
def through_tanh(delta: Array, hidden: Array) -> None:
    """Gradient by a layer's product, in place of that by its tanh: ``(S, w, n)``."""
    members, width, n = delta.shape
    for s in range(members):
        for i in range(width):
            row, t = delta[s, i], hidden[s, i]
            for j in range(n):
                row[j] *= row.dtype.type(1.0) - t[j] * t[j]


@compiled
def adam(
    values: Array, gradients: Array, first: Array, second: Array, betas: tuple[float, float],
    size: float, root: float, epsilon: float,
) -> None:  # fmt: skip
    """A step of Adam (Kingma and Ba, 2015), in place, with gradients and moments like the values.

    Size and root are those of `dagmm_model.engines.interface.adam_scale`.
    """
    kind = values.dtype.type
    keep, keep_second = kind(betas[0]), kind(betas[1])
    take, take_second = kind(1.0 - betas[0]), kind(1.0 - betas[1])
    step, by_root, floor = kind(size), kind(1.0 / root), kind(epsilon)
    for s in range(len(values)):
        value, g, m, v = values[s], gradients[s], first[s], second[s]
        for i in range(len(value)):
            m[i] = keep * m[i] + take * g[i]
            v[i] = keep_second * v[i] + take_second * g[i] * g[i]
            value[i] -= step * m[i] / (math.sqrt(v[i]) * by_root + floor)


@compiled
def squared_norms(
    x: Array, x_hat: Array, start: int, error: Float, square_hat: Float, dot: Float
) -> None:
    """Squared norms of x_hat - x and x_hat, and their product, of rows from ``start`` on.

    Args:
        x: ``(S, n, D or more)``.
        x_hat: ``(S, n, D)``.
        start: where these rows are in the others.
        error: ``(S, batch)``.
        square_hat: ``(S, batch)``.
        dot: ``(S, batch)``.
    """
    members, n, width = x_hat.shape
    zero = x_hat.dtype.type(0.0)
    for s in range(members):
        for j in range(n):
            row, row_hat = x[s, j], x_hat[s, j]
            squares, squares_hat, products = zero, zero, zero
            for d in range(width):
                a, b = row[d], row_hat[d]
                squares += (b - a) * (b - a)
                squares_hat += b * b
                products += a * b
            error[s, start + j] = squares
            square_hat[s, start + j] = squares_hat
            dot[s, start + j] = products


@compiled
def weigh(x: Array, visible: Array, root: float, x_hat: Array) -> None:
    """Draw the visible columns of x_hat to x, in place, so that their squared error counts less.

    Args:
        x: ``(S, n, D or more)``.
        visible: ``(S, n, D)`` of 1 and 0.
        root: what is left of the difference in a visible column.
        x_hat: ``(S, n, D)``.
    """
    members, n, width = x_hat.shape
    less = x_hat.dtype.type(1.0 - root)
    for s in range(members):
        for j in range(n):
            row, row_hat, seen = x[s, j], x_hat[s, j], visible[s, j]
            for d in range(width):
                row_hat[d] -= less * seen[d] * (row_hat[d] - row[d])


@compiled
def through_weights(visible: Array, root: float, delta: Array) -> None:
    """Gradient by x_hat before `weigh`, in place of that after it: ``(S, n, D)``."""
    members, n, width = delta.shape
    less = delta.dtype.type(1.0 - root)
    for s in range(members):
        for j in range(n):
            for d in range(width):
                delta[s, j, d] *= delta.dtype.type(1.0) - less * visible[s, j, d]


@compiled
def pull_back(x: Array, x_hat: Array, start: int, alpha: Float, beta: Float) -> None:
    """Alpha (x_hat - x) + beta x in place of x_hat; alpha and beta ``(S, batch)``."""
    members, n, width = x_hat.shape
    kind = x_hat.dtype.type
    for s in range(members):
        for j in range(n):
            row, row_hat = x[s, j], x_hat[s, j]
            by_difference, by_row = kind(alpha[s, start + j]), kind(beta[s, start + j])
            for d in range(width):
                row_hat[d] = by_difference * (row_hat[d] - row[d]) + by_row * row[d]


@compiled
def through_softmax(d_gamma: Float, gamma: Float, d_logits: Array) -> None:
    """Gradient by the logits of that by the memberships, each ``(S, K, n)``."""
    members, components, n = gamma.shape
    for s in range(members):
        mean = np.zeros(n)
        for k in range(components):
            for j in range(n):
                mean[j] += d_gamma[s, k, j] * gamma[s, k, j]
        for k in range(components):
            for j in range(n):
                d_logits[s, k, j] = (d_gamma[s, k, j] - mean[j]) * gamma[s, k, j]
