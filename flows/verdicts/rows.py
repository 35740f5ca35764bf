"""A row as what it says: the same values are the same row, in whatever file they come."""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence

import pyarrow as pa

from data_checks.contract.columns import Outside
from data_checks.contract.model import Contract
from data_checks.rows.rows import RowCheck, check_rows


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


def checked_rows(
    texts: Sequence[str], contract: Contract, where: str, outside: Outside = "mark"
) -> RowCheck:
    """Rows of the store, checked and typed as rows to be scored.

    A value that the contract's column cannot take makes its row unscorable, as anywhere else; a
    column that the rows do not have is empty.

    `texts` are from `row_texts`, perhaps under an earlier contract.
    """
    values = [json.loads(text) for text in texts]
    columns = {
        column.name: _array([row.get(column.name) for row in values], column.type)
        for column in contract.feature_columns
    }
    return check_rows(pa.table(columns), contract, where=where, outside=outside)


def lacking(text: str, contract: Contract) -> list[str]:
    """Columns that a contract takes and a row of the store does not have."""
    there = json.loads(text)
    return [column.name for column in contract.feature_columns if column.name not in there]


def with_columns(texts: Iterable[str], contract: Contract) -> list[bool]:
    """Whether each row has every column that a contract takes."""
    return [not lacking(text, contract) for text in texts]


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
