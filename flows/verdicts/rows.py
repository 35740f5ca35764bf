"""A row as what it says: the same values are the same row, in whatever file they come."""

import hashlib
import json
import math
from collections.abc import Iterable
from itertools import compress

import numpy as np
import pyarrow as pa

from data_checks.contract.columns import Outside
from data_checks.contract.model import Contract
from data_checks.rows.rows import check_rows


def row_texts(features: pa.Table) -> list[str]:
    """Each row as canonical JSON of its values by column; gaps are null.

    Args:
        features: ``(n,)`` rows with the contract's types, as `check_rows` gives them.
    """
    names = sorted(features.column_names)
    columns = [[_value(v) for v in features.column(name).to_pylist()] for name in names]
    return [
        json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, separators=(",", ":"))
        for row in zip(*columns, strict=True)
    ]


def row_key(text: str) -> str:
    """sha256 of the canonical text of a row."""
    return hashlib.sha256(text.encode()).hexdigest()


def taken_rows(
    texts: Iterable[str], contract: Contract, outside: Outside = "mark"
) -> tuple[np.ndarray, pa.Table]:
    """Rows of the store that a contract takes, checked and typed as rows to be scored.

    Left out is a row that lacks a column, or has a value that the contract's column cannot take.

    Args:
        texts: ``(n,)`` from `row_texts`, perhaps under an earlier contract.
        contract: Says what rows are.
        outside: What becomes of levels and numbers outside vocabulary and range.

    Returns:
        Whether each row is taken, boolean ``(n,)``, and the features of those that are.
    """
    rows, features = [json.loads(text) for text in texts], contract.feature_columns
    taken = np.array([all(column.name in row for column in features) for row in rows], dtype=bool)
    columns = {
        column.name: _array([row[column.name] for row in compress(rows, taken)], column.type)
        for column in features
    }
    checked = check_rows(pa.table(columns), contract, where="verdicts", outside=outside)
    taken[taken] = checked.scorable
    return taken, checked.features.filter(pa.array(checked.scorable))


def _value(value: object) -> object:
    if isinstance(value, float):
        return None if math.isnan(value) else value + 0.0  # -0.0 and 0.0 are the same
    return value


def _array(values: list[object], kind: str) -> pa.Array:
    """Values as the contract types them now; as text where they were of another type before."""
    wanted, expected = {
        "numeric": (pa.float64(), (int, float)),
        "boolean": (pa.bool_(), (bool,)),
    }.get(kind, (pa.string(), (str,)))
    if all(value is None or isinstance(value, expected) for value in values):
        return pa.array(values, wanted)
    texts = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
    return pa.array(texts, pa.string())
