"""How well a column alone tells anomalies from the rest, and whether it only names rows."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_checks.contract.notation import PLAIN, Notation
from data_checks.drafting.profile import NUMBER, ColumnProfile
from data_checks.rows.values import cast_column


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
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return 0.5
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]  # mid-ranks, so that ties count one half
    u = ranks[positive].sum() - n_positive * (n_positive + 1) / 2
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
