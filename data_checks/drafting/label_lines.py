"""The lines of a drafted contract that describe the label, and columns that give it away."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_checks.base.errors import SourceError
from data_checks.base.visible import quoted
from data_checks.contract.notation import PLAIN, Notation
from data_checks.drafting.profile import NUMBER, ColumnProfile, TableProfile
from data_checks.rows.values import cast_column

_LEAK = 0.995
_MAX_LABELS = 100


def draft_label(
    column: ColumnProfile, profile: TableProfile, position: int | None
) -> tuple[list[str], list[str]]:
    """Propose which labels are normal, and tell which columns alone separate them.

    `position` is that of the label in a file without a header.

    Returns:
        YAML, and remarks.

    Raises:
        SourceError: no column for a label.
    """
    if column.levels is None or len(column.levels) > _MAX_LABELS:
        raise SourceError(f"column '{column.name}' has too many different values for a label.")
    if not column.levels:
        raise SourceError(f"column '{column.name}' is empty and cannot be the label.")
    counts = column.levels.most_common()
    normal, anomalous = counts[0][0], [level for level, _ in counts[1:]]
    shown = ", ".join(quoted(level) for level in anomalous)
    told = ", ".join(f"{level!r} {count:,}" for level, count in counts[:10])
    lines = [
        "label:",
        f"  column: {quoted(column.name)}",
        *([] if position is None else [f"  position: {position}  # counted from 0"]),
        f"  # observed: {' '.join(told.split())}. Check which values are normal.",
        f"  normal: [{quoted(normal)}]",
        f"  anomalous: [{shown}]" if anomalous else "  anomalous: []  # only one value was there",
    ]
    if anomalous:
        ratio = 1 - counts[0][1] / column.present
        lines += [
            f"anomaly_ratio: {ratio:.4f}  # with the labels above; change it when you change them",
            f"ratio_tolerance: {min(1.0, max(0.02, ratio / 2)):.3f}",
        ]
    doubts = []
    if len(counts) > 2 and counts[0][1] * len(counts) < 2 * column.present:
        doubts.append(
            f"{quoted(column.name)} has {len(counts)} values, none of them in most rows; is it the "
            "label, and are all but the most frequent anomalous?"
        )
    return lines, doubts + _leaks(column, profile, normal)


def _leaks(column: ColumnProfile, profile: TableProfile, normal: str) -> list[str]:
    labels = np.array(profile.sample.column(column.name).to_pylist(), dtype=object)
    known = np.array([value is not None for value in labels])
    sample = profile.sample.filter(pa.array(known))
    anomalous = labels[known] != normal
    leaks = []
    for other in profile.columns:
        if other.name == column.name or other.present == 0:
            continue
        comparable = other.levels is not None or 2 * other.numbers > other.present
        if comparable and not looks_like_identifier(other):
            auc = separation(sample, other.name, anomalous, other.notation)
            if auc >= _LEAK:
                leaks.append(
                    f"{quoted(other.name)} alone separates the labels "
                    f"(ROC AUC {auc:.3f}); make sure it is known when scoring"
                )
    return leaks


def separation(
    sample: pa.Table, column: str, anomalous: npt.NDArray[np.bool_], notation: Notation = PLAIN
) -> float:
    """How well one column alone separates anomalies from the rest.

    Args:
        sample: text columns (n,).
        column: which.
        anomalous: boolean (n,).
        notation: how numbers are written.

    Returns:
        ROC AUC in either direction for numbers; for text, of the levels' anomaly shares among the
        other half of the rows, for a level is no sign of itself. 0.5 says nothing, 1 separates
        perfectly.
    """
    texts = sample.column(column).combine_chunks()
    numbers = cast_column(texts, NUMBER, notation)
    if numbers.null_count < len(numbers) // 2:
        values: Any = numbers.to_numpy(zero_copy_only=False)
        known = ~np.isnan(values)
        auc = _auc(values[known], anomalous[known])
        return max(auc, 1 - auc)
    return _auc(_shares(texts, anomalous), anomalous)


def _shares(texts: pa.Array, anomalous: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Share of anomalies of each row's level among the half of the rows that it is not in.

    A level that is not there has the share of all rows: of times and free texts, in which nearly
    every value is another, nothing is learnt.
    """
    levels = pc.fill_null(texts.dictionary_encode().indices, -1).to_numpy() + 1
    half = np.empty(len(anomalous), dtype=np.int64)
    for kind in (anomalous, ~anomalous):  # as many of both in each half
        half[kind] = np.arange(kind.sum()) % 2
    shares = np.full(len(anomalous), anomalous.mean())
    for here in (0, 1):
        there = half != here
        rows = np.bincount(levels[there], minlength=levels.max() + 1)
        anomalies = np.bincount(levels[there & anomalous], minlength=levels.max() + 1)
        known = (half == here) & (rows[levels] > 0)
        shares[known] = (anomalies / np.maximum(rows, 1))[levels[known]]
    return shares


def _auc(values: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> float:
    import pandas as pd

    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return 0.5
    u = pd.Series(values).rank()[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(u / (n_positive * n_negative))


def looks_like_identifier(profile: ColumnProfile) -> bool:
    """Whether a column only names rows: all values differ, and they are text, a count or an id."""
    if not profile.unique or profile.present < 3:
        return False
    if profile.numbers == profile.present:
        named = re.search(r"(^|[^a-z])(id|key|index|uuid|nr|no)($|[^a-z])", profile.name.lower())
        return profile.whole and (profile.increasing or named is not None)
    # Unique numbers with a few bad values among them are a measurement, unique times a clock.
    mostly_numbers = profile.numbers > profile.present // 2
    mostly_times = 2 * profile.times > profile.present
    return profile.present > 20 and not mostly_numbers and not mostly_times
