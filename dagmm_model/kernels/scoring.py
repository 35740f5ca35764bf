"""Compiled loops of scoring that need neither tanh nor exp; see `arithmetic`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.kernels.arithmetic import compiled

KINDS = {"relative": 0, "cosine": 1, "log_error": 2}
"""Numbers of the reconstruction's features."""


@compiled
def add_levels(
    outputs: Float, table: Float, square_of: Float, which: NDArray[np.intp], numbers: Float,
    reached: int, square: Float,
) -> None:  # fmt: skip
    """Add to each row's outputs ``(m, O)`` what its levels give; write its squared norm ``(m,)``.

    ``which`` ``(m,)`` is a row's combination of levels, ``table`` ``(K, O)`` and ``square_of``
    ``(K,)`` what each gives. From the output ``reached`` on, the outputs' squares count; where that
    is O, those of the numbers ``(m, P)``.
    """
    m, count = outputs.shape
    for j in range(m):
        row, added = outputs[j], table[which[j]]
        for i in range(count):
            row[i] += added[i]
        by_number = outputs[j, reached:] if reached < count else numbers[j]
        total = square_of[which[j]]
        for i in range(len(by_number)):
            total += by_number[i] * by_number[i]
        square[j] = total


@compiled
def reconstruction(
    x_hat: Float, outputs: Float, start: int, square: Float, kinds: NDArray[np.int64],
    floors: tuple[float, float], features: Float, error: Float,
) -> None:  # fmt: skip
    """Squared errors ``(S, m)`` of the reconstruction, and the features that follow from them.

    x_hat ``(S, m, k)`` is in the coordinates that a decoder reaches; the row's own are S k of the
    outputs ``(m, O)`` from ``start`` on, and ``square`` ``(m,)`` is the norm of the whole row. The
    floors are of a squared norm, and of the error in a logarithm. Features of the kinds, see
    `KINDS`, go to the last F rows of ``features`` ``(S, F or more, m)``.
    """
    members, m, width = x_hat.shape
    first = features.shape[1] - len(kinds)
    for s in range(members):
        for j in range(m):
            row = outputs[j, start + s * width : start + (s + 1) * width]
            row_hat = x_hat[s, j]
            squares, within, squares_hat, products = 0.0, 0.0, 0.0, 0.0
            for i in range(width):
                a, b = row[i], row_hat[i]
                squares += (b - a) * (b - a)
                within += a * a
                squares_hat += b * b
                products += a * b
            squares += max(square[j] - within, 0.0)
            error[s, j] = squares
            safe = square[j] if square[j] > floors[0] else 1.0
            for i in range(len(kinds)):
                if kinds[i] == 0:
                    value = math.sqrt(max(squares, floors[0]) / safe)
                elif kinds[i] == 1:
                    norms = math.sqrt(safe) * math.sqrt(max(squares_hat, floors[0]))
                    value = products / norms
                else:
                    value = math.log(squares + floors[1])
                features[s, first + i, j] = value


@compiled
def relative_log(errors: Float, inverse: Float, tail: float, floor: float, out: Float) -> None:
    """Logarithm ``(S, n)`` of ``floor`` plus the sum by columns of ``tail log(1 + error inverse)``.

    Errors are ``(S, n, D)``, inverse is ``(S, D)``.
    """
    members, n, width = errors.shape
    for s in range(members):
        for j in range(n):
            total, product = 0.0, 1.0  # a sum of logarithms by one of their product
            for d in range(width):
                product *= 1.0 + errors[s, j, d] * inverse[s, d]
                if product > 1e60:
                    total += math.log(product)
                    product = 1.0
            out[s, j] = math.log(floor + tail * (total + math.log(product)))


@compiled
def nearest(
    squares: Float, own: NDArray[np.intp], weights: Float, floor: float, out: Float
) -> None:
    """Weighted mean of the logarithms of the distances to the nearest references, ``(n,)``.

    Of the squared distances ``(n, R)``; ``own`` ``(n,)`` is the reference that a row itself is,
    which does not count, -1 for none; the weights ``(k,)``, of the nearest, the next, ..., sum to
    1, and ``floor`` is added to a distance.
    """
    n, count = squares.shape
    k = len(weights)
    best = np.empty(k)
    for j in range(n):
        best[:] = np.inf
        row, self_ = squares[j], own[j]
        for r in range(count):
            value = row[r]
            if value < best[k - 1] and r != self_:
                i = k - 1
                while i > 0 and best[i - 1] > value:
                    best[i] = best[i - 1]
                    i -= 1
                best[i] = value
        total = 0.0
        for i in range(k):
            total += weights[i] * math.log(math.sqrt(max(best[i], 0.0)) + floor)
        out[j] = total
