"""Which rows train, calibrate and test: the deployment protocol, and those of publications.

All train on normal rows only. They differ in what may be known when the threshold is set: the
paper's protocol (section 4.3) uses the anomaly ratio of the test rows, the deployment protocol
only a held-out set of normal rows. The others have no threshold, or the paper's, and differ in
which normal rows train.

In all, ``anomalous`` ``(rows,)`` is True where a row is an anomaly, and ``groups`` ``(rows,)`` are
numbers or names: rows of one group stay in one part. A `SplitError` is raised where a part would
be empty.
"""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Rows = NDArray[np.int64]
Fractions = tuple[float, float, float]


class SplitError(ValueError):
    """The rows cannot be split as asked; the message says which part would be empty."""


@dataclass(frozen=True)
class RowSplit:
    """Row indices of each part, int64; ascending unless the rows were drawn first.

    Attributes:
        train: Normal rows that fit the preprocessing and the detector.
        validation: Normal rows that calibrate the threshold; empty in the paper's protocol.
        test: Normal and anomalous rows that only the evaluation sees.
        set_aside: Rows that no part may have: anomalies that fell into the training or validation
            part, normal rows beyond the training rows asked for.
    """

    train: Rows
    validation: Rows
    test: Rows
    set_aside: Rows

    def of(self, rows: Rows) -> Self:
        """The same parts of a table whose rows were drawn as these ``(rows,)`` of another one."""
        return type(self)(*(rows[getattr(self, part.name)] for part in fields(self)))


def paper_split(anomalous: ArrayLike, seed: int, *, groups: ArrayLike | None = None) -> RowSplit:
    """Random half of all rows to train on, its anomalies removed; the other half is the test.

    Args:
        anomalous: True where a row is an anomaly, shape ``(rows,)``.
        seed: Seed of the permutation.
        groups: Group of each row, shape ``(rows,)``; rows of one group stay on one side.

    Raises:
        SplitError: No normal row is left to train on, or no row to test.
    """
    labels = np.asarray(anomalous, dtype=bool)
    half, rest = _parts(len(labels), (0.5, 0.5), seed, groups)
    return check_parts(
        RowSplit(half[~labels[half]], np.empty(0, np.int64), rest, half[labels[half]]), labels
    )


def deployment_split(
    anomalous: ArrayLike,
    seed: int,
    *,
    groups: ArrayLike | None = None,
    fractions: Fractions = (0.6, 0.2, 0.2),
) -> RowSplit:
    """Train, validation and test, stratified by label; train and validation keep normals only.

    Args:
        anomalous: All False when nothing is labelled.
        seed: Seed of the permutation.
        groups: See `duplicate_groups`; grouping takes the place of stratification.
        fractions: Shares of train, validation and test, adding up to 1.

    Raises:
        SplitError: A part would be empty, or the fractions do not add up to 1.
    """
    if min(fractions) <= 0 or not np.isclose(sum(fractions), 1.0):
        raise SplitError(f"split fractions {fractions} must be positive and add up to 1")
    labels = np.asarray(anomalous, dtype=bool)
    if groups is not None:
        parts = _parts(len(labels), fractions, seed, groups)
    else:
        classes = [np.flatnonzero(~labels), np.flatnonzero(labels)]
        shares = [_parts(len(rows), fractions, seed + i, None) for i, rows in enumerate(classes)]
        both = list(zip(classes, shares, strict=True))
        parts = [np.sort(np.concatenate([r[share[i]] for r, share in both])) for i in range(3)]
    train, validation, test = parts
    held = np.concatenate([train[labels[train]], validation[labels[validation]]])
    return check_parts(
        RowSplit(train[~labels[train]], validation[~labels[validation]], test, np.sort(held)),
        labels,
        validation=True,
    )


def file_order_split(anomalous: ArrayLike, train: int | None = None) -> RowSplit:
    """The first normal rows train; the other normal rows and *all* anomalies are the test.

    The split of GOAD (Bergman and Hoshen, ICLR 2020) and NeuTraL AD (Qiu et al., ICML 2021), and,
    of rows drawn by `drawn_rows`, that of DTE (Livernoche et al., ICLR 2024). Nothing is random.

    Args:
        anomalous: True where a row is an anomaly, shape ``(rows,)``.
        train: Number of training rows; half of the normal rows, rounded down, unless given.

    Raises:
        SplitError: No normal row is left to train on, or no row to test.
    """
    labels = np.asarray(anomalous, dtype=bool)
    normal = np.flatnonzero(~labels)
    count = len(normal) // 2 if train is None else train
    test = np.concatenate([normal[count:], np.flatnonzero(labels)])
    none = np.empty(0, np.int64)
    return check_parts(RowSplit(normal[:count], none, np.sort(test), none), labels)


def shuffled_halves(anomalous: ArrayLike, seed: int, *, most: int) -> RowSplit:
    """A random half of the normal rows trains; the other half and *all* anomalies are the test.

    Args:
        anomalous: True where a row is an anomaly, shape ``(rows,)``.
        seed: Seed of the permutation.
        most: Largest number of training rows; those of the half beyond it are set aside.

    Raises:
        SplitError: No normal row is left to train on, or no row to test.
    """
    labels = np.asarray(anomalous, dtype=bool)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~labels))
    half = len(order) // 2
    test = np.concatenate([order[half:], np.flatnonzero(labels)])
    train, rest = order[: min(half, most)], order[min(half, most) : half]
    return check_parts(
        RowSplit(np.sort(train), np.empty(0, np.int64), np.sort(test), np.sort(rest)), labels
    )


def drawn_rows(rows: int, seed: int, *, least: int = 0, most: int | None = None) -> Rows:
    """Which rows take part, int64: of small tables more than there are, of large ones a sample.

    As ADBench's generator does it, number by number (Han et al., NeurIPS 2022): fewer rows than
    `least` are drawn with replacement until there are as many, of more than `most` a sample
    without replacement is taken. Rows come in the order in which they were drawn.
    """
    # Its legacy generator, because only that gives the same rows.
    if rows < least:
        return np.random.RandomState(seed).choice(rows, least, replace=True).astype(np.int64)
    if most is not None and rows > most:
        return np.random.RandomState(seed).choice(rows, most, replace=False).astype(np.int64)
    return np.arange(rows, dtype=np.int64)


def duplicate_groups(matrix: NDArray[Any]) -> Rows:
    """Group number of each row, equal for identical rows; int64, shape ``(rows,)``."""
    contiguous = np.ascontiguousarray(matrix + 0.0)  # -0.0 and 0.0 are the same row
    as_bytes = contiguous.view(np.dtype((np.void, contiguous.itemsize * contiguous.shape[1])))
    return np.unique(as_bytes.ravel(), return_inverse=True)[1].astype(np.int64)


def _parts(
    rows: int, fractions: tuple[float, ...], seed: int, groups: ArrayLike | None
) -> list[Rows]:
    rng = np.random.default_rng(seed)
    if groups is None:
        order = rng.permutation(rows)
        cuts = np.round(np.cumsum(fractions[:-1]) * rows).astype(int)
        return [np.sort(part).astype(np.int64) for part in np.split(order, cuts)]
    _, group_of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
    # A group goes where its middle row falls, so that one huge group cannot empty a part.
    middle = (np.cumsum(sizes[order]) - sizes[order] / 2) / rows
    part_of_group = np.empty(len(sizes), dtype=np.int64)
    part_of_group[order] = np.searchsorted(np.cumsum(fractions)[:-1], middle, side="right")
    part_of_row = part_of_group[group_of_row]
    return [np.flatnonzero(part_of_row == part) for part in range(len(fractions))]


def check_parts(
    split: RowSplit, labels: NDArray[np.bool_], *, validation: bool = False, why: str = ""
) -> RowSplit:
    """The split, unless a part of it would be empty.

    Args:
        split: The split.
        labels: True for anomalies, shape ``(rows,)``.
        validation: Whether the validation part matters.
        why: What else a part may be empty for than too few normal rows.

    Raises:
        SplitError: The training or test part is empty, or, if it matters, the validation part.
    """
    for name in ("train", "validation", "test") if validation else ("train", "test"):
        if len(getattr(split, name)) == 0:
            normals = int((~labels).sum())
            raise SplitError(
                f"the {name} part would be empty: the table has {len(labels)} rows, "
                f"{normals} of them normal; "
                + (why or "more normal rows or other split fractions are needed")
            )
    return split
