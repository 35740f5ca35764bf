"""Compiled loops of scoring that need neither tanh nor exp; see `arithmetic`."""

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
    """Add to each row's outputs what its levels give, and write its squared norm.

    Args:
        outputs: ``(m, O)``.
        table: ``(K, O)``, from combinations of levels.
        square_of: ``(K,)``, their part of the squared norm.
        which: ``(m,)`` combination of each row.
        numbers: ``(m, P)``, whose squares count unless outputs do.
        reached: from which output on their squares count; O where the numbers' do.
        square: ``(m,)``.
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
    """Squared errors of the reconstruction, and the features that follow from them.

    Args:
        x_hat: ``(S, m, k)`` reconstructed rows in the coordinates that a decoder reaches.
        outputs: ``(m, O)``, the row's own coordinates from ``start`` on, S k of them.
        start: of the coordinates.
        square: ``(m,)`` squared norm of the whole row.
        kinds: of the features, by `KINDS`.
        floors: of a squared norm, and of the error in a logarithm.
        features: ``(S, F or more, m)``, written to the last F rows.
        error: ``(S, m)``, written.
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
    """Logarithm of ``floor`` plus the sum over columns of ``tail log(1 + error inverse)``.

    Args:
        errors: ``(S, n, D)``.
        inverse: ``(S, D)``.
        tail: where a column's part begins to grow as its logarithm.
        floor: of the sum.
        out: ``(S, n)``, written.
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
    """Weighted mean of the logarithms of the distances to the nearest references.

    Args:
        squares: ``(n, R)`` squared distances.
        own: ``(n,)`` reference that a row itself is, which does not count; -1 for none.
        weights: ``(k,)`` of the nearest, the next, ..., with the sum 1.
        floor: added to a distance.
        out: ``(n,)``, written.
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
