"""How well a column alone tells anomalies from the rest, and whether it only names rows."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

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
        ROC AUC in either direction for numbers, of the levels' anomaly shares for text: 0.5 says
        nothing, 1 separates perfectly.
    """
    texts = sample.column(column).combine_chunks()
    numbers = cast_column(texts, NUMBER, notation)
    if numbers.null_count < len(numbers) // 2:
        values: Any = numbers.to_numpy(zero_copy_only=False)
    else:
        codes = texts.dictionary_encode().indices.to_numpy(zero_copy_only=False)
        known = ~np.isnan(codes.astype(float))
        keys = np.where(known, codes, -1).astype(int) + 1
        totals = np.bincount(keys)
        shares = np.bincount(keys, weights=anomalous) / np.maximum(totals, 1)
        values = shares[keys]
    known = ~np.isnan(values)
    return _auc(values[known], anomalous[known])


def _auc(values: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> float:
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return 0.5
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]  # mid-ranks, so that ties count one half
    u = ranks[positive].sum() - n_positive * (n_positive + 1) / 2
    auc = float(u / (n_positive * n_negative))
    return max(auc, 1 - auc)


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
