"""Compiled loops: what a step or a scored row needs beside its matrix products.

In NumPy each of these would be several passes over memory, and tanh and exp are slow on processors
without AVX-512. Numba compiles a loop when it is first called with arrays of a type, and keeps what
it compiled on disk until the kernel's file changes. It looks at no other file: a function that a
kernel calls must be in the kernel's own, and after a change of `compiled` what was kept must go.

Arrays are C-contiguous unless a kernel says otherwise, so that inner loops become vector
instructions. S is members, K components, L coordinates of the latent row, n rows.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

Kernel = TypeVar("Kernel", bound=Callable[..., Any])
Array = NDArray[np.floating]
Float = NDArray[np.float64]

EXACT = {"contract", "nsz"}
"""Liberties with rounding that leave every operation where it is."""

SUMS = EXACT | {"reassoc"}
"""For sums, which need another order to become vector instructions.

None with what is not finite: a loss that is not must be seen.
"""


def compiled(function: Kernel) -> Kernel:
    """The function, compiled at its first call, without Python's lock."""
    try:
        kernel = njit(cache=True, nogil=True, error_model="numpy", fastmath=SUMS)(function)
    except RuntimeError as error:
        warnings.warn(
            f"{error}: every process will compile again, for seconds. Remedy: set NUMBA_CACHE_DIR "
            "to a folder that can be written",
            RuntimeWarning,
            2,
        )
        kernel = njit(nogil=True, error_model="numpy", fastmath=SUMS)(function)
    return cast(Kernel, kernel)


def inlined(function: Kernel) -> Kernel:
    """A function for kernels alone."""
    return cast(Kernel, njit(error_model="numpy", fastmath=EXACT)(function))


def _bits(context: Any, value: Any) -> Any:
    return types.int64(types.float64), lambda c, b, s, a: b.bitcast(a[0], ir.IntType(64))


def _float(context: Any, bits: Any) -> Any:
    return types.float64(types.int64), lambda c, b, s, a: b.bitcast(a[0], ir.DoubleType())


bits_of = cast(Callable[[float], int], intrinsic(_bits))
"""The bits of a float64 as an int64."""

float_of = cast(Callable[[int], float], intrinsic(_float))
"""The float64 of these bits."""

TO_INTEGER = 1.5 * 2.0**52
"""Added to a float64, it leaves an integer in the low bits."""

LN2_HIGH, LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
"""Natural logarithm of 2; the first has so few digits that its multiples are exact."""

E2, E3, E4, E5, E6, E7, E8, E9, E10, E11, E12 = (1.0 / math.factorial(k) for k in range(2, 13))


@inlined
def exp(x: float) -> float:
    """Exp of a float64 up to 700, to the last digit or the one before; 0 below -700."""
    clipped = -700.0 if x < -700.0 else x
    shifted = clipped * (1.0 / math.log(2.0)) + TO_INTEGER
    k = shifted - TO_INTEGER
    r = (clipped - k * LN2_HIGH) - k * LN2_LOW
    high = E7 + r * (E8 + r * (E9 + r * (E10 + r * (E11 + r * E12))))
    low = 1.0 + r * (1.0 + r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * (E6 + r * high))))))
    value = low * float_of((bits_of(shifted) + 1023) << 52)
    return 0.0 if x < -700.0 else value


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


LOWEST = -np.finfo(np.float64).max


@inlined
def normalise(joint: Float, evidence: Float) -> None:
    """Log weights ``(K, n)`` to weights that sum to 1; log of their sum to evidence ``(n,)``."""
    components, n = joint.shape
    top, total = np.empty(n), np.empty(n)
    for j in range(n):
        top[j], total[j] = LOWEST, 0.0  # finite: a row infinitely far away has evidence -inf
    for k in range(components):
        row = joint[k]
        for j in range(n):
            top[j] = row[j] if row[j] > top[j] else top[j]
    for k in range(components):
        row = joint[k]
        for j in range(n):
            row[j] = exp(row[j] - top[j])
            total[j] += row[j]
    for j in range(n):
        evidence[j] = top[j] + math.log(total[j])
        total[j] = 1.0 / total[j]
    for k in range(components):
        row = joint[k]
        for j in range(n):
            row[j] *= total[j]


@compiled
def softmax(logits: Array, gamma: Float) -> None:
    """Memberships ``(S, K, n)``."""
    members, components, n = logits.shape
    evidence = np.empty(n)
    for s in range(members):
        for k in range(components):
            row, out = logits[s, k], gamma[s, k]
            for j in range(n):
                out[j] = row[j]
        normalise(gamma[s], evidence)


@compiled
def posterior(distance: Float, constant: Float, weights: Float, share: Float) -> Float:
    """Mean energy ``(S,)``; responsibilities to the first K of the rows of weights.

    Args:
        distance: ``(S, K, n)`` squared distances of the rows from the components.
        constant: ``(S, K)`` logarithms of the components' densities at distance 0.
        weights: ``(S, K or more, n)``.
        share: ``(S, 1, n)`` of each row in the mean.
    """
    members, components, n = distance.shape
    energy, evidence = np.empty(members), np.empty(n)
    for s in range(members):
        joint = weights[s, :components]
        for k in range(components):
            row, square = joint[k], distance[s, k]
            for j in range(n):
                row[j] = constant[s, k] - 0.5 * square[j]
        normalise(joint, evidence)
        mean, weight = 0.0, share[s, 0]
        for j in range(n):
            mean += weight[j] * evidence[j]
        energy[s] = -mean
    return energy


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
def evidence(white: Float, constant: Float, weights: Float, out: Float) -> None:
    """Log density of n rows under one mixture; their responsibilities to weights ``(K, n)``.

    Args:
        white: ``(K L', n)`` whitened coordinates, those of a component in a row.
        constant: ``(K,)`` logarithms of the components' densities at distance 0.
        weights: ``(K, n)``.
        out: ``(n,)``.
    """
    components, n = weights.shape
    width = len(white) // components
    for k in range(components):
        joint = weights[k]
        for j in range(n):
            joint[j] = constant[k]
        for i in range(width):
            row = white[k * width + i]
            for j in range(n):
                joint[j] -= 0.5 * row[j] * row[j]
    normalise(weights, out)
