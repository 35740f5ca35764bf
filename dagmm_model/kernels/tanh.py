"""Compiled loops with tanh; see `arithmetic`."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  of which Numba makes `np.dot`
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from dagmm_model.base.arrays import Array, Float
from dagmm_model.kernels.arithmetic import (
    LN2_HIGH,
    LN2_LOW,
    TO_INTEGER,
    bits_of,
    compiled,
    float_of,
    inlined,
)

# With r within ln 2 / 2: exp r = (Q(r^2) + r P(r^2)) / (Q(r^2) - r P(r^2)), the fit of Moshier's
# Cephes library, to 1e-16.
EXP_P = (9.99999999999999999910e-1, 3.02994407707441961300e-2, 1.26177193074810590878e-4)
EXP_Q = (
    2.00000000000000000009,
    2.27265548208155028766e-1,
    2.52448340349684104192e-3,
    3.00198505138664455042e-6,
)


@inlined
def tanh64(x: float) -> float:
    """Tanh to 4e-16, not to the last digit of a small value; exp 2x = 2^k exp r."""
    clipped = 20.0 if x > 20.0 else x
    clipped = -20.0 if clipped < -20.0 else clipped
    shifted = clipped * (2.0 / math.log(2.0)) + TO_INTEGER
    k = shifted - TO_INTEGER
    r = (2.0 * clipped - k * LN2_HIGH) - k * LN2_LOW
    s = r * r
    p = r * (EXP_P[0] + s * (EXP_P[1] + s * EXP_P[2]))
    q = EXP_Q[0] + s * (EXP_Q[1] + s * (EXP_Q[2] + s * EXP_Q[3]))
    power = float_of((bits_of(shifted) + 1023) << 52)
    above, below = power * (q + p), q - p
    return (above - below) / (above + below)


# Tanh x = x P(x^2) / Q(x^2), the fit with the least relative error up to 9, which is 2e-8.
P1, P2, P3, P4 = (np.float32(v) for v in (0.13380976, 0.0034955274, 2.0608055e-05, 1.3353216e-08))
Q1, Q2, Q3, Q4 = (np.float32(v) for v in (0.46714291, 0.025876753, 3.2855340e-04, 7.7759705e-07))
ONE, NINE = np.float32(1.0), np.float32(9.0)


@inlined
def tanh32(x: np.float32) -> np.float32:
    """Tanh of a float32, to 4e-7 of its value."""
    x = NINE if x > NINE else x
    x = -NINE if x < -NINE else x
    s = x * x
    above = ONE + s * (P1 + s * (P2 + s * (P3 + s * P4)))
    t = x * above / (ONE + s * (Q1 + s * (Q2 + s * (Q3 + s * Q4))))
    t = ONE if t > ONE else t
    return -ONE if t < -ONE else t


def tanh(x: float) -> float:
    """Tanh in the type of x."""
    raise NotImplementedError  # for kernels alone


@overload(tanh, strict=False)
def _tanh(x: Any) -> Callable[[Any], Any]:
    if x == types.float32:
        return lambda x: tanh32(x)
    return lambda x: tanh64(x)


@compiled
def tanh_rows(hidden: Array) -> None:
    """Tanh of all rows but the last, in place: ``(S, w + 1, n)``, the last row is of ones."""
    members, width, n = hidden.shape
    for s in range(members):
        for i in range(width - 1):
            row = hidden[s, i]
            for j in range(n):
                row[j] = tanh(row[j])


@compiled
def tanh_dropout_rows(hidden: Array, masks: Array, slope: Array) -> None:
    """The same times dropout factors ``(S, w, n)``; slope is the derivative by what was there."""
    members, width, n = masks.shape
    for s in range(members):
        for i in range(width):
            row, mask, out = hidden[s, i], masks[s, i], slope[s, i]
            for j in range(n):
                t = tanh(row[j])
                row[j] = t * mask[j]
                out[j] = (row.dtype.type(1.0) - t * t) * mask[j]


@compiled
def tanh_first(outputs: Float, start: int, hidden: Float) -> None:
    """Tanh of S w of the outputs ``(n, O)``, those from ``start`` on, to hidden ``(S, n, w)``."""
    members, n, width = hidden.shape
    for s in range(members):
        first = start + s * width
        for j in range(n):
            row, out = outputs[j, first : first + width], hidden[s, j]
            for i in range(width):
                out[i] = tanh64(row[i])


@compiled
def tanh_biased(x: Float, bias: Float) -> None:
    """Tanh of x + bias in the first w columns of x ``(S, n, w or more)``; bias ``(S, w)``."""
    members, width = bias.shape
    for s in range(members):
        added = bias[s]
        for j in range(x.shape[1]):
            row = x[s, j]
            for i in range(width):
                row[i] = tanh64(row[i] + added[i])


@compiled
def masked_errors(
    x: Float, columns: NDArray[np.intp], ends: NDArray[np.intp], widths: NDArray[np.intp],
    code: int, first: Float, middle: Float, last: Float, last_bias: Float, rows: int,
    codes: Float, errors: Float,
) -> None:  # fmt: skip
    """Run a network on rows with each group of columns hidden in turn, and with none.

    A few rows at a time go through all layers, in all of these copies: what they are between two
    layers stays in the processor's cache.

    Args:
        x: ``(n, D)`` rows.
        columns: ``(H,)`` columns that are hidden, by group; H is a multiple of D.
        ends: ``(G + 1,)`` where among these each group begins, and H.
        widths: ``(L + 1,)`` of the input, of the output of each layer.
        code: which of the layers, from 1, gives the code.
        first: ``(D + H, w)`` weights of the first layer, and once more by hidden column.
        middle: bias of the first layer; weights ``(in, out)`` and bias of each but the last.
        last: weights ``(w, columns)`` of the last layer by group.
        last_bias: ``(H,)``.
        rows: how many at a time.
        codes: ``(n, C)``, written; with no column hidden.
        errors: ``(n, D)``, written; mean squared error of each column over the times it was hidden.
    """
    n, width = x.shape
    groups, wide, narrow = len(ends) - 1, widths[1], widths[-2]
    size = (groups + 1) * min(rows, n) * widths[1:-1].max()
    here, there = np.empty(size), np.empty(size)
    seen, guessed = np.empty(rows * len(columns)), np.empty(rows * len(columns))
    share = width / len(columns)
    for start in range(0, n, rows):
        some, error = x[start : start + rows], errors[start : start + rows]
        m = len(some)
        # A hidden column takes its part off what the first layer gives for the whole row.
        copies = here[: (groups + 1) * m * wide].reshape(groups + 1, m, wide)
        whole = copies[groups]
        np.dot(some, first[:width], whole)
        for g in range(groups):
            a, b = ends[g], ends[g + 1]
            hidden = seen[a * m : b * m].reshape(m, b - a)
            for j in range(m):
                for i in range(b - a):
                    hidden[j, i] = some[j, columns[a + i]]
            np.dot(hidden, first[width + a : width + b], copies[g])
            for j in range(m):
                row, all_of_it = copies[g, j], whole[j]
                for i in range(wide):
                    row[i] = all_of_it[i] - row[i]
        at, count = 0, (groups + 1) * m
        for layer in range(1, len(widths) - 1):
            inner, outer = widths[layer - 1], widths[layer]
            if layer > 1:
                weight = middle[at : at + inner * outer].reshape(inner, outer)
                given = here[: count * inner].reshape(count, inner)
                np.dot(given, weight, there[: count * outer].reshape(count, outer))
                here, there, at = there, here, at + inner * outer
            bias, out = middle[at : at + outer], here[: count * outer].reshape(count, outer)
            at += outer
            if layer == code:
                for j in range(count):
                    for i in range(outer):
                        out[j, i] += bias[i]
                count = groups * m
                codes[start : start + m] = out[count:]
            else:
                for j in range(count):
                    row = out[j]
                    for i in range(outer):
                        row[i] = tanh64(row[i] + bias[i])
        error[:] = 0.0
        for g in range(groups):
            a, b = ends[g], ends[g + 1]
            given = here[g * m * narrow : (g + 1) * m * narrow].reshape(m, narrow)
            weight = last[a * narrow : b * narrow].reshape(narrow, b - a)
            guess = guessed[: m * (b - a)].reshape(m, b - a)
            np.dot(given, weight, guess)
            hidden = seen[a * m : b * m].reshape(m, b - a)
            for j in range(m):
                for i in range(b - a):
                    missed = guess[j, i] + last_bias[a + i] - hidden[j, i]
                    error[j, columns[a + i]] += share * missed * missed
