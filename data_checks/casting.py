"""Raw columns, as a reader found them, to the types of the contract.

A value that cannot be read as its column's type is never guessed and never dropped: it becomes
null, and its original text is kept in the `__unparsed__` column, which later sends the row to
quarantine with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_checks.columns import Column
from data_checks.contract import ANOMALY_COLUMN, ANY, ROW_ID, UNPARSED_COLUMN, Contract, Label
from data_checks.errors import SourceError
from data_checks.source_settings import MISSING_MARKERS

_STORED: dict[str, pa.DataType] = {
    "numeric": pa.float64(),
    "categorical": pa.string(),
    "boolean": pa.bool_(),
    "identifier": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
_TRUE = ("true", "t", "yes", "y", "1")
_FALSE = ("false", "f", "no", "n", "0")
_EXACT_INTEGERS = 2.0**53


def stored_schema(contract: Contract, *, with_label: bool = True) -> pa.Schema:
    """The Arrow schema of an ingested table: contract columns, label, then the derived columns."""
    fields = [pa.field(c.name, _STORED[c.type]) for c in contract.stored_columns]
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
    missing: Sequence[str] = MISSING_MARKERS,
    where: str = "table",
    with_label: bool = True,
) -> pa.Table:
    """Give one batch the contract's types.

    Args:
        raw: (n rows) with at least the contract's stored columns, of any Arrow type.
        contract: the contract.
        first_row: 0-based row of the batch's first row in the source.
        missing: texts that mean "no value".
        where: name of the source, for messages.
        with_label: whether the label column is there and wanted.

    Returns:
        (n rows) with `stored_schema`.

    Raises:
        SourceError: a column as a whole has a type that the contract's cannot be read from.
    """
    columns: list[Any] = []
    bad: dict[str, tuple[npt.NDArray[np.int64], list[str]]] = {}
    for column in contract.stored_columns:
        values = plain(raw.column(column.name))
        try:
            typed = cast_column(values, column, missing)
        except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            raise SourceError(
                f"{where}: column '{column.name}' is {values.type}, which cannot be read as "
                f"{column.type}; change the column's type in the contract."
            ) from error
        if typed.null_count:
            lost = pc.and_(pc.is_null(typed), is_present(values, missing))
            rows = np.flatnonzero(lost.to_numpy(zero_copy_only=False))
            if len(rows):
                texts = [str(text) for text in values.take(pa.array(rows)).to_pylist()]
                bad[column.name] = (rows, texts)
        columns.append(typed)
    if contract.label is not None and with_label:
        labels = as_text(plain(raw.column(contract.label.column)), missing)
        columns += [labels, anomaly_flags(labels, contract.label)]
    columns.append(pa.array(np.arange(first_row, first_row + raw.num_rows, dtype=np.int64)))
    columns.append(_unparsed(bad, raw.num_rows))
    return pa.Table.from_arrays(columns, schema=stored_schema(contract, with_label=with_label))


def cast_column(values: pa.Array, column: Column, missing: Sequence[str]) -> pa.Array:
    """Cast one column; what cannot be read becomes null.

    Raises:
        pyarrow.ArrowNotImplementedError, pyarrow.ArrowTypeError: the types have nothing in common.
    """
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), _STORED[column.type])
    match column.type:
        case "numeric":
            return _numeric(values, missing)
        case "boolean":
            return _boolean(values, missing)
        case "timestamp":
            return _timestamp(values, column.timestamp_format, missing)
    return as_text(values, missing)


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


def _among(values: pa.Array, levels: Sequence[str]) -> pa.Array:
    return pc.is_in(values, value_set=pa.array(levels, pa.string()))


def plain(values: Any) -> pa.Array:
    """One contiguous array without dictionary encoding."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.nulls(0, values.type)
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_present(values: pa.Array, missing: Sequence[str]) -> pa.Array:
    """Which values are there: not null, not NaN, not one of the texts that mean "no value"."""
    present = pc.is_valid(values)
    if _is_text(values.type) and missing:
        trimmed = pc.utf8_trim_whitespace(values)
        return pc.and_(present, pc.invert(_among(pc.cast(trimmed, pa.string()), missing)))
    if pa.types.is_floating(values.type):
        return pc.and_(present, pc.invert(pc.fill_null(pc.is_nan(values), False)))
    return present


def _blanked(values: pa.Array, missing: Sequence[str]) -> pa.Array:
    """Text with surrounding white space removed and missing markers as null."""
    trimmed = pc.cast(pc.utf8_trim_whitespace(values), pa.string())
    if not missing:
        return trimmed
    return pc.if_else(_among(trimmed, missing), pa.scalar(None, pa.string()), trimmed)


def _numeric(values: pa.Array, missing: Sequence[str]) -> pa.Array:
    if _is_text(values.type):
        try:
            return _nan_to_null(pc.cast(values, pa.float64()))
        except pa.ArrowInvalid:
            # Only a column with a gap or a bad value pays for the careful way.
            return _careful_numbers(_blanked(values, missing))
    if pa.types.is_boolean(values.type):
        values = pc.cast(values, pa.int8())
    elif pa.types.is_decimal(values.type):
        # Arrow's own cast is off in the last digit: 17.49 becomes 17.490000000000002.
        values = pc.cast(values, pa.string())
    elif pa.types.is_temporal(values.type) or pa.types.is_binary(values.type):
        raise pa.ArrowTypeError("not a number")
    return _nan_to_null(pc.cast(values, pa.float64(), safe=False))


def _careful_numbers(texts: pa.Array) -> pa.Array:
    number = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[iI][nN][fF]([iI][nN][iI][tT][yY])?)$"
    readable = pc.match_substring_regex(texts, number)
    kept = pc.if_else(readable, texts, pa.scalar(None, pa.string()))
    return _nan_to_null(pc.cast(kept, pa.float64()))


def _nan_to_null(values: pa.Array) -> pa.Array:
    if not values.null_count and not np.isnan(values.to_numpy()).any():
        return values
    return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)


def _boolean(values: pa.Array, missing: Sequence[str]) -> pa.Array:
    if pa.types.is_boolean(values.type):
        return values
    texts = pc.utf8_lower(as_text(values, missing))
    truth = _among(texts, _TRUE)
    known = pc.or_(truth, _among(texts, _FALSE))
    return pc.if_else(known, truth, pa.scalar(None, pa.bool_()))


def _timestamp(values: pa.Array, pattern: str | None, missing: Sequence[str]) -> pa.Array:
    import pandas as pd

    target = _STORED["timestamp"]
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        if getattr(values.type, "tz", None) is None:
            return pc.cast(pc.cast(values, pa.timestamp("us"), safe=False), target)
        return pc.cast(values, target, safe=False)
    if not _is_text(values.type):
        raise pa.ArrowTypeError("not a time")
    series = _blanked(values, missing).to_pandas()
    parsed = pd.to_datetime(series, format=pattern or "ISO8601", errors="coerce", utc=True)
    naive = pa.Array.from_pandas(parsed.dt.tz_convert(None).dt.as_unit("us"))
    return pc.cast(naive, target)


def as_text(values: pa.Array, missing: Sequence[str]) -> pa.Array:
    """Levels as text; whole numbers without a decimal point, so that 1.0 and 1 are one level."""
    kind = values.type
    if pa.types.is_null(kind):
        return pa.nulls(len(values), pa.string())
    if _is_text(kind):
        texts = pc.cast(values, pa.string())
        if not missing:
            return texts
        return pc.if_else(_among(texts, missing), pa.scalar(None, pa.string()), texts)
    if pa.types.is_floating(kind):
        numbers = _nan_to_null(pc.cast(values, pa.float64()))
        whole = pc.and_(
            pc.equal(pc.trunc(numbers), numbers), pc.less(pc.abs(numbers), _EXACT_INTEGERS)
        )
        integers = pc.if_else(whole, numbers, pa.scalar(None, pa.float64()))
        return pc.coalesce(
            pc.cast(pc.cast(integers, pa.int64()), pa.string()), pc.cast(numbers, pa.string())
        )
    if pa.types.is_nested(kind):
        raise pa.ArrowTypeError("nested")
    return pc.cast(values, pa.string())


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
