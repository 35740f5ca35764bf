"""Training rows in an order of their own, and weights that are counts turned into rows.

A detector should not depend on the order in which a table is read: rows are put into an order that
only their values decide before anything random happens to them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

MOST_REPEATS = 4
"""Integer weights are expanded to repeated rows up to this many times the rows given."""


def canonical_order(x: NDArray[np.floating]) -> NDArray[np.int64]:
    """Indices that sort the rows of ``(n, D)`` by a fixed projection of their values.

    Rows with equal values are interchangeable, so their order among themselves does not matter.
    """
    largest = np.abs(x).max(axis=0).astype(np.float64)
    direction = np.cos(np.arange(1.0, x.shape[1] + 1.0)) / np.where(largest > 0, largest, 1.0)
    key = np.zeros(len(x))
    for d in range(x.shape[1]):  # a sum in fixed order: equal rows get equal keys to the last bit
        key += x[:, d] * direction[d]
    order: NDArray[np.int64] = np.argsort(key, kind="stable")
    return order


def counts(sample_weight: Float) -> NDArray[np.int64] | None:
    """Repeats of each row where the weights are counts, else None.

    Integer weights (after division by their greatest common divisor) mean that the row occurs that
    often, and are expanded so that the result is the same as with the repeated rows. Others, and
    counts that would make the table more than `MOST_REPEATS` times longer, weigh the row's loss
    and its memberships.
    """
    if (sample_weight != np.floor(sample_weight)).any() or sample_weight.max() > 2**53:
        return None
    whole = sample_weight.astype(np.int64)
    whole = whole // np.gcd.reduce(whole)
    return whole if whole.sum() <= MOST_REPEATS * len(whole) else None
