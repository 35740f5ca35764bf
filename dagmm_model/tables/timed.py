"""Train on the past, judge on the future; and groups of rows that belong together."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagmm_model.tables.protocols import Fractions, Rows, RowSplit, SplitError, check_parts


def time_split(
    anomalous: ArrayLike,
    times: ArrayLike,
    *,
    fractions: Fractions = (0.6, 0.2, 0.2),
    groups: ArrayLike | None = None,
) -> tuple[RowSplit, tuple[int, int]]:
    """Earlier rows train, later ones calibrate, the latest test; nothing is random.

    Rows of one moment stay in one part, so that the shares hold approximately.

    Args:
        anomalous: True where a row is an anomaly; all False when nothing is labelled.
        times: Moment of each row, sortable, shape ``(rows,)``.
        fractions: Shares of train, validation and test, adding up to 1.
        groups: Group of each row. Where a group began in an earlier part, its later rows are set
            aside: they are neither the past nor unseen.

    Returns:
        The split, and a row with which validation and test begin.

    Raises:
        SplitError: A part would be empty, or the fractions do not add up to 1.
    """
    if min(fractions) <= 0 or not np.isclose(sum(fractions), 1.0):
        raise SplitError(f"split fractions {fractions} must be positive and add up to 1")
    labels, moments = np.asarray(anomalous, dtype=bool), np.asarray(times)
    order = np.argsort(moments, kind="stable")
    ordered = moments[order]
    cuts = np.round(np.cumsum(fractions[:-1]) * len(labels)).astype(int)
    # The first row of the moment that a cut would divide, so that the future is later, truly.
    cuts = np.searchsorted(ordered, ordered[np.minimum(cuts, len(ordered) - 1)], side="left")
    part = np.empty(len(labels), dtype=np.int64)
    part[order] = np.searchsorted(cuts, np.arange(len(labels)), side="right")
    repeated = np.zeros(len(labels), dtype=bool)
    if groups is not None:
        _, group = np.unique(groups, return_inverse=True)
        earliest = np.full(group.max(initial=-1) + 1, 3)
        np.minimum.at(earliest, group, part)
        repeated = part > earliest[group]
    kept = ~repeated & ~(labels & (part < 2))  # anomalies of the past teach and calibrate nothing
    train, validation, test = (np.flatnonzero(kept & (part == number)) for number in range(3))
    split = check_parts(
        RowSplit(train, validation, test, np.flatnonzero(~kept)),
        labels,
        validation=True,
        why=_why_empty(ordered, int(repeated.sum())),
    )
    return split, (int(order[cuts[0]]), int(order[cuts[1]]))


def _why_empty(ordered: NDArray[np.generic], repeated: int) -> str:
    """Why a part may have no row, although there are many; empty where they are too few."""
    moments = 1 + int((ordered[1:] != ordered[:-1]).sum())
    if moments < 3:
        return (
            f"different times: {moments}; rows of one moment stay together, so that at least three "
            "are needed"
        )
    if repeated:
        return (
            f"{repeated} of them are set aside, for their groups began in an earlier part: groups "
            "that begin later are needed, or a split by time or by groups alone"
        )
    return ""


def joined_groups(*groups: ArrayLike) -> Rows:
    """Groups of rows that any of several groupings keeps together, int64 of shape ``(rows,)``.

    Args:
        groups: Groupings, each of shape ``(rows,)``, of sortable values.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbered: list[NDArray[np.intp]] = [np.unique(g, return_inverse=True)[1] for g in groups]
    rows, start, ends = len(numbered[0]), len(numbered[0]), []
    for numbers in numbered:  # rows and groups are nodes, a row has an edge to each of its groups
        ends.append(numbers + start)
        start += int(numbers.max(initial=-1)) + 1
    first = np.tile(np.arange(rows), len(numbered))
    edges = coo_array((np.ones(len(first), bool), (first, np.concatenate(ends))), (start, start))
    return connected_components(edges, directed=False)[1][:rows].astype(np.int64)
