"""The values of one column, as a reader found them, to the column's type.

What cannot be read becomes null and is told apart from a gap.
"""

import re
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_checks.contract.columns import Column
from data_checks.contract.notation import PLAIN, Notation

STORED: dict[str, pa.DataType] = {
    "numeric": pa.float64(),
    "categorical": pa.string(),
    "boolean": pa.bool_(),
    "identifier": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
_TRUE = ("true", "t", "yes", "y", "1")
_FALSE = ("false", "f", "no", "n", "0")
_EXACT_INTEGERS = 2.0**53
_WHOLE = re.compile(r"([+-]?\d+)(?:\.0+)?")


class Typed(NamedTuple):
    """A column with its type (n,), and which of its nulls were values: boolean (n,), or None."""

    values: pa.Array
    unread: pa.Array | None


def type_values(values: pa.Array, column: Column, notation: Notation = PLAIN) -> Typed:
    """Give values the type of their column.

    Args:
        values: (n,) from `plain_array`.
        column: the type, and how times are written.
        notation: how numbers and gaps are written.

    Raises:
        pyarrow.ArrowNotImplementedError, pyarrow.ArrowTypeError: the types have nothing in common.
        pyarrow.ArrowInvalid: bytes that are not UTF-8.
    """
    stored = STORED[column.type]
    if pa.types.is_null(values.type):
        return Typed(pa.nulls(len(values), stored), None)
    match column.type:
        case "numeric":
            typed = _numbers(values, notation)
            return _told_apart(values, _without(typed, notation.missing_numbers), typed, notation)
        case "boolean":
            typed = _booleans(values, notation)
        case "timestamp":
            typed = _times(values, column.timestamp_format, notation)
        case _:  # whatever is there can be read as text
            # Where blanks are part of a level, texts are compared as they stand.
            padded = any(level != level.strip() for level in column.vocabulary)
            texts = as_text(values, notation, trimmed=not padded)
            written = pa.types.is_string(values.type)
            return Typed(as_listed(texts, column.vocabulary, written=written), None)
    return _told_apart(values, typed, typed, notation)


def cast_column(values: pa.Array, column: Column, notation: Notation = PLAIN) -> pa.Array:
    """As `type_values`, where nobody asks what could not be read."""
    return type_values(values, column, notation).values


def as_text(values: pa.Array, notation: Notation = PLAIN, *, trimmed: bool = True) -> pa.Array:
    """Levels as text; whole numbers without a decimal point, so that 1.0 and 1 are one level.

    Args:
        values: (n,) from `plain_array`.
        notation: its markers become null.
        trimmed: whether blanks around a text are removed.
    """
    kind = values.type
    if pa.types.is_null(kind):
        return pa.nulls(len(values), pa.string())
    if pa.types.is_string(kind):
        texts = pc.utf8_trim_whitespace(values)
        gaps = notation.gaps(texts)
        kept = texts if trimmed else values
        return pc.if_else(gaps, pa.scalar(None, pa.string()), kept)
    if pa.types.is_nested(kind):
        raise pa.ArrowTypeError("nested")
    texts = _number_texts(values) if pa.types.is_floating(kind) else pc.cast(values, pa.string())
    if pa.types.is_binary(kind):
        return as_text(texts, notation, trimmed=trimmed)
    gaps = notation.gaps(texts)
    return pc.if_else(gaps, pa.scalar(None, pa.string()), texts)


def as_listed(texts: pa.Array, vocabulary: Sequence[str], *, written: bool) -> pa.Array:
    """Levels, or labels, that another program spelled differently, as the contract spells them.

    Pandas reads a column of `007` and `012` as 7 and 12, one of `True` as booleans, and writes
    whole numbers with a gap among them as 1.0: where just one level means the value, that
    one is it.

    Args:
        texts: (n,) from `as_text`.
        vocabulary: the levels that are listed; none leaves the texts as they are.
        written: whether they were text before; then only 1.0 for 1, and the reverse, are the same.
    """
    if not vocabulary or (written and not any(_WHOLE.fullmatch(level) for level in vocabulary)):
        return texts
    unknown = pc.invert(pc.is_in(texts, value_set=pa.array(vocabulary, pa.string())))
    if not pc.any(pc.and_(unknown, pc.is_valid(texts))).as_py():
        return texts
    value_of = _without_decimals if written else _value_of
    meant: dict[str, list[str]] = {}
    for level in vocabulary:
        meant.setdefault(value_of(level), []).append(level)
    lookup = {
        text: meant[value_of(text)][0]
        for text in pc.unique(texts.filter(unknown)).to_pylist()
        if text is not None and len(meant.get(value_of(text), ())) == 1
    }
    if not lookup:
        return texts
    return pa.array([lookup.get(text, text) for text in texts.to_pylist()], pa.string())


def _value_of(level: str) -> str:
    try:
        return repr(float(level))
    except ValueError:
        return level.lower()


def _without_decimals(level: str) -> str:
    whole = _WHOLE.fullmatch(level)
    return whole[1] if whole else level


def plain_array(values: Any) -> pa.Array:
    """One contiguous array of one of few types: no dictionaries, views, large or foreign types."""
    if isinstance(values, pa.DoubleArray):
        return values
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.nulls(0, values.type)
    if isinstance(values.type, pa.UuidType):
        texts = [None if v is None else str(uuid.UUID(bytes=v)) for v in values.storage.to_pylist()]
        return pa.array(texts, pa.string())
    if isinstance(values.type, pa.Bool8Type):
        return pc.not_equal(values.storage, 0)
    if isinstance(values.type, pa.BaseExtensionType):
        return plain_array(values.storage)
    if pa.types.is_dictionary(values.type):
        return plain_array(values.dictionary_decode())
    if pa.types.is_run_end_encoded(values.type):
        return plain_array(pc.run_end_decode(values))
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        return pc.cast(values, pa.string())
    foreign = (pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    if any(is_kind(values.type) for is_kind in foreign):
        return pc.cast(values, pa.binary())
    return values


def _told_apart(values: pa.Array, typed: pa.Array, read: pa.Array, notation: Notation) -> Typed:
    if not read.null_count:
        return Typed(typed, None)
    unread = pc.and_(pc.is_null(read), pc.is_valid(as_text(values, notation)))
    return Typed(typed, unread if pc.any(unread).as_py() else None)


def _numbers(values: pa.Array, notation: Notation) -> pa.Array:
    kind = values.type
    if pa.types.is_float64(kind):
        return _nan_to_null(values)
    if pa.types.is_string(kind):
        if notation.plain:
            try:
                return _nan_to_null(pc.cast(values, pa.float64()))
            except pa.ArrowInvalid:
                pass  # only a column with a gap, a blank or a bad value pays for the careful way
        return notation.numbers(as_text(values, notation))
    if pa.types.is_boolean(kind):
        values = pc.cast(values, pa.int8())
    elif pa.types.is_decimal(kind):
        # Arrow's own cast is off in the last digit: 17.49 becomes 17.490000000000002.
        values = pc.cast(values, pa.string())
    elif pa.types.is_temporal(kind) or pa.types.is_binary(kind):
        raise pa.ArrowTypeError("not a number")
    return _nan_to_null(pc.cast(values, pa.float64(), safe=False))


def _without(numbers: pa.Array, missing: pa.Array) -> pa.Array:
    if not len(missing):
        return numbers
    gaps = pc.is_in(numbers, value_set=missing)
    return pc.if_else(gaps, pa.scalar(None, pa.float64()), numbers)


def _nan_to_null(values: pa.Array) -> pa.Array:
    if not values.null_count and not np.isnan(values.to_numpy()).any():
        return values
    return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)


def _number_texts(values: pa.Array) -> pa.Array:
    numbers = _nan_to_null(pc.cast(values, pa.float64()))
    whole = pc.and_(pc.equal(pc.trunc(numbers), numbers), pc.less(pc.abs(numbers), _EXACT_INTEGERS))
    integers = pc.if_else(whole, numbers, pa.scalar(None, pa.float64()))
    return pc.coalesce(
        pc.cast(pc.cast(integers, pa.int64()), pa.string()), pc.cast(numbers, pa.string())
    )


def _booleans(values: pa.Array, notation: Notation) -> pa.Array:
    if pa.types.is_boolean(values.type):
        return values
    texts = pc.utf8_lower(as_text(values, notation))
    truth = pc.is_in(texts, value_set=pa.array(_TRUE))
    known = pc.or_(truth, pc.is_in(texts, value_set=pa.array(_FALSE)))
    return pc.if_else(known, truth, pa.scalar(None, pa.bool_()))


def _times(values: pa.Array, pattern: str | None, notation: Notation) -> pa.Array:
    import pandas as pd

    target = STORED["timestamp"]
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        if getattr(values.type, "tz", None) is None:
            return pc.cast(pc.cast(values, pa.timestamp("us"), safe=False), target)
        return pc.cast(values, target, safe=False)
    if pattern is None and not pa.types.is_string(values.type):
        raise pa.ArrowTypeError("not a time")
    series = as_text(values, notation).to_pandas()
    parsed = pd.to_datetime(series, format=pattern or "ISO8601", errors="coerce", utc=True)
    naive = pa.Array.from_pandas(parsed.dt.tz_convert(None).dt.as_unit("us"))
    return pc.cast(naive, target)
