"""Training rows in an order of their own, and weights that are counts turned into rows.

A detector should not depend on the order in which a table is read: rows are put into an order that
only their values decide before anything random happens to them.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import _check_sample_weight

from dagmm_model.base.arrays import Float, Rows
from dagmm_model.base.processors import chunks
from dagmm_model.tables.scaling import TABLE_ROWS, Scaler

MOST_REPEATS = 4
"""Integer weights are expanded to repeated rows up to this many times the rows given."""

LARGEST_TRAINED = 1e15
"""Scaled training values beyond this are refused: their squares overflow float32."""


def canonical_order(x: Rows, weight: Float | None = None) -> NDArray[np.int64]:
    """Indices that sort the rows of ``(n, D)`` by a fixed projection of their values.

    Rows with equal values and weights are interchangeable, so their order among themselves does not
    matter. Where others share a projection, such as in a column beside whose largest value the
    small ones vanish, all columns and the weights decide.
    """
    largest = np.abs(x).max(axis=0).astype(np.float64)
    direction = np.cos(np.arange(1.0, x.shape[1] + 1.0)) / np.where(largest > 0, largest, 1.0)
    key = np.zeros(len(x))
    for d in range(x.shape[1]):  # a sum in fixed order: equal rows get equal keys to the last bit
        key += x[:, d] * direction[d]
    order: NDArray[np.int64] = np.argsort(key, kind="stable")
    if not _told_apart(x, weight, key, order):
        last = [] if weight is None else [weight]
        order = np.lexsort((*last, *x.T[::-1], key))
    return order


def _told_apart(x: Rows, weight: Float | None, key: Float, order: NDArray[np.int64]) -> bool:
    """Whether the key tells all rows apart that are not equal, or not of equal weight."""
    for start in range(0, len(x) - 1, TABLE_ROWS):
        part = order[start : start + TABLE_ROWS + 1]
        rows = x[part]
        differ = (rows[1:] != rows[:-1]).any(axis=1)
        if weight is not None:
            differ |= weight[part[1:]] != weight[part[:-1]]
        if (differ & (key[part[1:]] == key[part[:-1]])).any():
            return False
    return True


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


def training_rows(X: Rows, sample_weight: ArrayLike | None) -> tuple[Rows, Float | None]:
    """Rows in their canonical order, and their weights unless these were counts."""
    if sample_weight is None:
        return X[canonical_order(X)], None
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    X, weight = X[weight > 0], weight[weight > 0]
    order = canonical_order(X, weight)
    X, weight = X[order], weight[order]
    repeats = counts(weight)
    if repeats is not None:
        return np.repeat(X, repeats, axis=0), None
    weight /= weight.max()  # no sum of huge weights overflows
    return X, weight / weight.mean()


def hold_out(
    X: Rows, weight: Float | None, share: float, least: int, seed: int
) -> tuple[Rows, Float | None, Rows]:
    """Training rows, their weights, and the rows held out to choose an epoch.

    Raises:
        ValueError: fewer than ``least`` rows would be left to train on.
    """
    held = max(1, round(share * len(X)))
    if len(X) - held < least:
        raise ValueError(
            f"n_samples={len(X)} rows are too few to hold {held} out; give validation=, or switch "
            "keep_best and early_stopping off"
        )
    shuffled = np.random.default_rng([seed, 1]).permutation(len(X))
    kept = np.sort(shuffled[held:])
    return X[kept], None if weight is None else weight[kept], X[shuffled[:held]]


def scaled32(scaler: Scaler, X: Rows) -> NDArray[np.float32]:
    """Scaled rows in the type that the engines compute in."""
    out = np.empty(X.shape, np.float32)
    for part in chunks(len(X)):
        scaled = scaler.transform(X[part], None)
        if scaled.size and np.abs(scaled).max() > LARGEST_TRAINED:
            row, column = np.argwhere(np.abs(scaled) > LARGEST_TRAINED)[0]
            raise ValueError(
                f"column {column}: value {X[part][row, column]:g} is too large to train on with "
                f"scaling={scaler.kind!r}; remove it or use scaling='robust'"
            )
        out[part] = scaled
    return out


def quantile(scores: Float, share: float, sample_weight: ArrayLike | None) -> float:
    """The score below which that share of the (weighted) training rows lies."""
    if sample_weight is None:
        return float(np.percentile(scores, 100.0 * share))
    weight = np.asarray(sample_weight, dtype=np.float64)
    repeats = counts(weight[weight > 0])
    if repeats is not None:
        return float(np.percentile(np.repeat(scores[weight > 0], repeats), 100.0 * share))
    return float(np.percentile(scores, 100.0 * share, weights=weight, method="inverted_cdf"))
