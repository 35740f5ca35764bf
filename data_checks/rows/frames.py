"""Columns of a data frame, as people and web requests fill them, to Arrow."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_checks.base.errors import SourceError
from data_checks.contract.columns import Column
from data_checks.contract.notation import Notation
from data_checks.rows.values import as_listed

NUMBERS = {int, float, type(None)}
_NESTED = (list, dict, tuple, set, np.ndarray)


def arrow_columns(
    rows: Any, columns: Sequence[Column], notation: Notation
) -> pa.Table | pa.RecordBatch:
    """The columns of a frame as Arrow; Arrow's own tables stay as they are.

    Args:
        rows: pandas data frame (n rows), lists of Python values by name, or an Arrow table or
            batch.
        columns: which columns.
        notation: how numbers are written where they stand among texts.

    Returns:
        (n rows) with these columns, of whatever types the values have.

    Raises:
        SourceError: a level is a list or an object.
    """
    if isinstance(rows, pa.Table | pa.RecordBatch):
        return rows
    names = [column.name for column in columns]
    if isinstance(rows, Mapping):
        values = [_values(rows[column.name], column, notation) for column in columns]
        return pa.RecordBatch.from_arrays(values, names)
    named = {str(name): place for place, name in enumerate(rows.columns)}
    arrays = [_array(rows.iloc[:, named[column.name]], column, notation) for column in columns]
    return pa.table(arrays, names=names)


def column_names(rows: Any) -> list[str]:
    """Names of the columns, in whichever form the rows come."""
    if isinstance(rows, pa.Table | pa.RecordBatch):
        return list(rows.column_names)
    return [str(name) for name in (rows if isinstance(rows, Mapping) else rows.columns)]


def _array(series: Any, column: Column, notation: Notation) -> pa.Array:
    if series.dtype != object:
        try:
            return pa.Array.from_pandas(series)
        except (pa.ArrowException, UnicodeEncodeError):
            pass  # sparse, complex, half a character: value by value
    return _values(series.tolist(), column, notation)


def _values(cells: Sequence[Any], column: Column, notation: Notation) -> pa.Array:
    if column.type == "numeric" and set(map(type, cells)) <= NUMBERS:
        try:
            return pa.array(cells, pa.float64())  # as nearly always; NaN is a gap to the casting
        except (pa.ArrowInvalid, OverflowError):
            pass  # a whole number that no float holds exactly
    values = [_plain(value) for value in cells]
    kinds = {type(value) for value in values} - {type(None)}
    if kinds <= {str}:
        return _strings(values)
    if column.type == "numeric" and kinds <= {int, float, bool}:
        try:
            return pa.array([None if v is None else float(v) for v in values], pa.float64())
        except OverflowError:
            pass  # a whole number beyond every float: judged as text
    if len(kinds) == 1 and not kinds & {int, list, dict}:
        try:
            return pa.array(values)
        except pa.ArrowException:
            pass  # of a type that Arrow does not know
    return _as_texts(values, column, notation)


def _as_texts(values: Sequence[Any], column: Column, notation: Notation) -> pa.Array:
    """Values of several types as text, each judged as it would be without the others."""
    if column.type == "categorical":
        for row, value in enumerate(values):
            if isinstance(value, _NESTED):
                raise SourceError(
                    f"row {row}, column {column.name!r}: {str(value)[:100]} is not one value; "
                    "give a text or a number"
                )
    texts = _strings([None if v is None else _text(v, column, notation) for v in values])
    listed = as_listed(texts, column.vocabulary, written=False)
    return pc.if_else(pa.array([isinstance(v, str) for v in values]), texts, listed)


def _strings(texts: Sequence[str | None]) -> pa.Array:
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:  # half a character of UTF-16, which JSON can spell
        whole = [t and t.encode("utf-8", "backslashreplace").decode() for t in texts]
        return pa.array(whole, pa.string())


def _plain(value: Any) -> Any:
    """A Python value of a cell; None where there is nothing."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and not value.ndim):
        value = value.item()
    if isinstance(value, list | dict | np.ndarray):
        return value
    try:
        return value if bool(value == value) else None  # NaN and NaT are not equal to themselves
    except TypeError:  # pandas.NA has no truth value
        return None


def _text(value: Any, column: Column, notation: Notation) -> str:
    if isinstance(value, bool):
        words = ("0", "1") if column.type == "numeric" else ("false", "true")
        return words[value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, float) and column.type == "numeric":
        return str(value).replace(".", notation.decimal)
    return str(value)
