"""Raw rows, as a reader found them, to the types of the contract.

A value that cannot be read as its column's type is never guessed and never dropped: it becomes
null, and its original text is kept in the `__unparsed__` column, which later sends the row to
quarantine with the reason.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_checks.base.errors import SourceError
from data_checks.contract.columns import Column
from data_checks.contract.model import ANOMALY_COLUMN, ROW_ID, UNPARSED_COLUMN, Contract
from data_checks.contract.notation import Notation, notation_of
from data_checks.contract.sections import ANY, Label
from data_checks.rows.values import STORED, Typed, as_listed, plain_array, type_values


def stored_schema(contract: Contract, *, with_label: bool = True) -> pa.Schema:
    """The Arrow schema of an ingested table: contract columns, label, then the derived columns."""
    fields = [pa.field(c.name, STORED[c.type]) for c in contract.stored_columns]
    if contract.label is not None and with_label:
        fields.append(pa.field(contract.label.column, pa.string()))
        fields.append(pa.field(ANOMALY_COLUMN, pa.int8()))
    fields.append(pa.field(ROW_ID, pa.int64()))
    fields.append(pa.field(UNPARSED_COLUMN, pa.string()))
    return pa.schema(fields)


def cast_batch(
    raw: pa.RecordBatch | pa.Table,
    contract: Contract,
    first_row: int,
    *,
    where: str = "table",
    with_label: bool = True,
) -> pa.Table:
    """Give one batch the contract's types.

    Args:
        raw: (n rows) with at least the contract's stored columns, of any Arrow type.
        contract: the contract; its source says how values are written.
        first_row: 0-based row of the batch's first row in the source.
        where: name of the source, for messages.
        with_label: whether the label column is there and wanted.

    Returns:
        (n rows) with `stored_schema`.

    Raises:
        SourceError: a column as a whole has a type that the contract's cannot be read from.
    """
    notation = notation_of(contract.source)
    columns: list[Any] = []
    bad: dict[str, tuple[npt.NDArray[np.int64], list[str]]] = {}
    for column in contract.stored_columns:
        values = raw.column(column.name)
        typed = _typed(values, column, notation, first_row, where)
        if typed.unread is not None:
            rows = np.flatnonzero(typed.unread.to_numpy(zero_copy_only=False))
            texts = [str(text) for text in plain_array(values).take(pa.array(rows)).to_pylist()]
            bad[column.name] = (rows, texts)
        columns.append(typed.values)
    if contract.label is not None and with_label:
        column = Column(name=contract.label.column, type="identifier")
        values = raw.column(column.name)
        texts = _typed(values, column, notation, first_row, where).values
        labels = label_texts(values, texts, contract.label)
        columns += [labels, anomaly_flags(labels, contract.label)]
    columns.append(pa.array(np.arange(first_row, first_row + raw.num_rows, dtype=np.int64)))
    columns.append(_unparsed(bad, raw.num_rows))
    return pa.Table.from_arrays(columns, schema=stored_schema(contract, with_label=with_label))


def _typed(values: Any, column: Column, notation: Notation, first_row: int, where: str) -> Typed:
    try:
        return type_values(plain_array(values), column, notation)
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise SourceError(
            f"{where}: column '{column.name}' is {values.type}, which cannot be read as "
            f"{column.type}; change the column's type in the contract."
        ) from error
    except pa.ArrowInvalid as error:
        row = first_row + first_not_text(values)
        raise SourceError(
            f"{where}: column '{column.name}' is {values.type}, and its bytes in row {row} "
            "(counted from 0) are not UTF-8 text; store it as text or numbers, or give it the type "
            "ignored."
        ) from error


def first_not_text(values: Any) -> int:
    """Row of the first value whose bytes are not UTF-8 text."""

    def readable(value: bytes | None) -> bool:
        try:
            return value is None or bool(value.decode()) or True
        except UnicodeDecodeError:
            return False

    return next(i for i, value in enumerate(plain_array(values).to_pylist()) if not readable(value))


def label_texts(values: Any, texts: pa.Array, label: Label) -> pa.Array:
    """Labels as the contract spells them, whichever program wrote them: 1.0 or true for 1, say.

    Args:
        values: (n,) as a reader found them.
        texts: the same as text.
        label: what the values mean.

    Returns:
        text (n,).
    """
    return as_listed(texts, label.listed, written=pa.types.is_string(plain_array(values).type))


def anomaly_flags(labels: pa.Array, label: Label) -> pa.Array:
    """1 for anomalous, 0 for normal, null for unknown or missing labels.

    Args:
        labels: text (n,).
        label: what the values mean.

    Returns:
        int8 (n,).
    """
    one, zero = pa.scalar(1, pa.int8()), pa.scalar(0, pa.int8())
    nothing = pa.scalar(None, pa.int8())
    present = pc.is_valid(labels)
    if label.anomalous == ANY:
        anomalous = pc.and_(present, pc.invert(_among(labels, label.normal)))
    else:
        anomalous = _among(labels, label.anomalous)
    normal = present if label.normal == ANY else _among(labels, label.normal)
    return pc.if_else(anomalous, one, pc.if_else(normal, zero, nothing))


def _among(labels: pa.Array, listed: Sequence[str]) -> pa.Array:
    return pc.is_in(labels, value_set=pa.array([text.strip() for text in listed], pa.string()))


def _unparsed(
    bad: dict[str, tuple[npt.NDArray[np.int64], list[str]]], number_of_rows: int
) -> pa.Array:
    if not bad:
        return pa.nulls(number_of_rows, pa.string())
    per_row: dict[int, dict[str, str]] = {}
    for name, (rows, texts) in bad.items():
        for row, text in zip(rows.tolist(), texts, strict=True):
            per_row.setdefault(row, {})[name] = text[:200]
    column: list[str | None] = [None] * number_of_rows
    for row, values in per_row.items():
        column[row] = json.dumps(values, ensure_ascii=False)
    return pa.array(column, pa.string())
