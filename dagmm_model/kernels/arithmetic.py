"""Compiled loops: what a step or a scored row needs beside its matrix products.

In NumPy each of these would be several passes over memory, and tanh and exp are slow on processors
without AVX-512. Numba compiles a loop when it is first called with arrays of a type, and keeps what
it compiled on disk until the kernel's file changes. It looks at no other file: a function that a
kernel calls must be in the kernel's own, and after a change of `compiled` what was kept must go.

Arrays are C-contiguous unless a kernel says otherwise, so that inner loops become vector
instructions. S is members, K components, L coordinates of the latent row, n rows.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from dagmm_model.base.arrays import Array, Float

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

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
