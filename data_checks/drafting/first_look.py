"""How numbers and times are written in a table, read off its first rows."""

import itertools
import re
from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from data_checks.contract.columns import Column
from data_checks.contract.notation import PLAIN, Notation
from data_checks.rows.values import as_text, cast_column, plain_array, type_values

MOSTLY = 0.8
"""From this share of readable values on, a column is of a type and the rest are bad values."""
_ROWS = 20_000
_VALUES = 1_000
_NOTATIONS = tuple(
    Notation(decimal=decimal, thousands=thousands)
    for decimal, thousands in ((".", ""), (",", ""), (".", ","), (",", "."), (",", " "), (".", " "),
                               (".", "'"), (",", "'"), (".", "_"))
)  # fmt: skip
_GROUPED = re.compile(r"[+-]?\d{1,3}[.,]\d{3}")
_DAY_FIRST = ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y", "%d/%m/%y")
_MONTH_FIRST = ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y")
_WORDS = ("%d %b %Y", "%d-%b-%Y", "%b %d %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%d/%b/%Y")
_HOURS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M:%S", ":%H:%M:%S", " %I:%M %p",
          " %I:%M:%S %p")  # fmt: skip
_DAYS = _DAY_FIRST + _MONTH_FIRST + _WORDS
_FORMATS = tuple(day + hour for day, hour in itertools.product(_DAYS, _HOURS))
_DATED = (
    r"^\d{1,4}[./-](\d{1,2}|[A-Za-z]{3})[./-]\d{1,4}|^\d{1,2} [A-Za-z]{3}|^[A-Za-z]{3,9} \d{1,2}"
)
_WITH_UNIT = re.compile(
    r"(?P<before>[+-]?\(?[$€£¥₹₽₩]|[+-]?(?:USD|EUR|GBP|CHF|JPY|CNY|INR)?)\s*"
    r"[+-]?\d[\d.,'\u2019\u00a0\u202f ]*"
    r"(?P<behind>[^\d.,'\s:/-][^\d.,:/-]{0,11}|)"
)
_UNITS = 3
_SINCE_1970 = {1: "seconds", 1_000: "milliseconds", 10**6: "microseconds", 10**9: "nanoseconds"}
_FIRST_SECOND = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_LAST_SECOND = datetime(2050, 1, 1, tzinfo=UTC).timestamp()
_ANY_NOTATION = re.compile(
    r"\(?[+-]?(?:\d{1,3}(?:[.,'\u2019\u00a0\u202f ]\d{3})+|\d{1,2}(?:,\d\d)+,\d{3}|\d+)"
    r"(?:[.,]\d+)?\)?-?"
)
"""Also `(12.3)` and `12.3-` for -12.3, and `12,34,567`."""


def first_look(
    rows: pa.RecordBatch, delimiter: str | None
) -> tuple[Notation, dict[str, str], list[str]]:
    """How a table's values seem to be written.

    Args:
        rows: the first ones, raw.
        delimiter: of delimited text; None for tables whose numbers are not written as text.

    Returns:
        Decimal mark and thousands separator that read most columns; the format of each column of
        times that are not ISO 8601; what a person should look at.
    """
    texts = {
        name: values
        for name in rows.schema.names
        if len(values := _texts(rows.column(name).slice(0, _ROWS)))
    }
    doubts: list[str] = []
    notation = PLAIN
    if delimiter is not None:
        notation, doubts = _notation(list(texts.values()), delimiter)
    formats = {}
    for name, values in texts.items():
        readable = _time_formats(values)
        if readable:
            formats[name] = readable[0]
            if len(readable) > 1:
                doubts.append(
                    f"{name!r}: the times read as {readable[0]} and as {readable[1]}; "
                    "the first is taken"
                )
    return notation, formats, doubts


def _texts(values: pa.Array) -> pa.Array:
    """Distinct texts of a column that is written as text; none of any other."""
    values = plain_array(values)
    if not pa.types.is_string(values.type):
        return pa.array([], pa.string())
    return as_text(values).drop_null().unique()


def _notation(columns: Sequence[pa.Array], delimiter: str) -> tuple[Notation, list[str]]:
    """The notation that reads most columns as numbers; of equal ones the first."""
    order = list(_NOTATIONS)
    if delimiter == ",":  # a decimal comma would have to be quoted, a separated thousand, too
        order[1], order[2] = order[2], order[1]
    elif delimiter == ";":  # what spreadsheets write where the comma is the decimal mark
        order[2], order[3] = order[3], order[2]
    scores = [_score(columns, notation) for notation in order]
    best = max(range(len(order)), key=lambda i: scores[i])
    chosen = order[best]
    if chosen.plain:
        return PLAIN, _grouped_doubt(columns, delimiter)
    chosen_marks = f"decimal {chosen.decimal!r}" + (
        f" and thousands {chosen.thousands!r}" if chosen.thousands else ""
    )
    equal = [order[i] for i in range(len(order)) if i != best and scores[i] == scores[best]]
    if twin := next((n for n in equal if n.decimal != chosen.decimal), None):
        chosen_marks += (
            f"; decimal {twin.decimal!r} with thousands {twin.thousands!r} would fit as well"
        )
    return chosen, [f"numbers are read with {chosen_marks}"]


def _score(columns: Sequence[pa.Array], notation: Notation) -> tuple[int, float]:
    shares = [1 - notation.numbers(texts).null_count / len(texts) for texts in columns]
    fitting = [share for share in shares if share >= MOSTLY]
    return len(fitting), round(sum(fitting), 3)


def _grouped_doubt(columns: Sequence[pa.Array], delimiter: str) -> list[str]:
    """`1.234` beside semicolons may be one and a quarter, or twelve hundred."""
    for texts in columns if delimiter in ";\t" else ():
        values = texts.to_pylist()
        if all(_GROUPED.fullmatch(value) for value in values):
            return [f"numbers such as {values[0]} are read with a decimal point"]
    return []


def _time_formats(texts: pa.Array) -> list[str]:
    """Formats that read nearly all of the texts, the first one best; none for ISO 8601."""
    dated = pc.match_substring_regex(texts, _DATED)
    if pc.mean(pc.cast(dated, pa.float64())).as_py() < MOSTLY:
        return []
    some = texts.slice(0, _VALUES)
    if _read(some, None) >= MOSTLY:
        return []
    few = some.slice(0, 5)
    tried = [pattern for pattern in _FORMATS if _read(few, pattern) > 0]
    shares = {pattern: _read(some, pattern) for pattern in tried}
    best = max(shares.values(), default=0.0)
    return [p for p in tried if shares[p] == best] if best >= MOSTLY else []


def _read(texts: pa.Array, pattern: str | None) -> float:
    column = Column(name="t", type="timestamp", timestamp_format=pattern)
    return 1 - int(cast_column(texts, column).null_count) / len(texts)


def number_with_a_unit(texts: Sequence[str]) -> str | None:
    """The first of some texts if nearly all are numbers with a currency, a per cent or a unit."""
    matches = [_WITH_UNIT.fullmatch(text) for text in texts]
    around = {(match["before"], match["behind"]) for match in matches if match}
    known = [match for match in matches if match]
    if len(texts) < 2 or len(known) < MOSTLY * len(texts) or len(around) > _UNITS:
        return None
    return known[0][0] if any(pair != ("", "") for pair in around) else None


def number_written_differently(texts: Sequence[str], notation: Notation) -> str | None:
    """The first text that does not read as a number, if nearly all are in some notation."""
    matches = [text for text in texts if _ANY_NOTATION.fullmatch(text)]
    if len(texts) < 2 or len(matches) < MOSTLY * len(texts):
        return None
    return next(iter(unread_examples(matches, Column(name="n", type="numeric"), notation)), None)


def time_as_number(low: float, high: float, texts: Sequence[str]) -> tuple[str, str] | None:
    """What times between two numbers would be, and how to declare them; None if they are none."""
    for unit, name in _SINCE_1970.items():
        if _FIRST_SECOND * unit <= low < high <= _LAST_SECOND * unit:
            begins, ends = (datetime.fromtimestamp(x / unit, UTC).date() for x in (low, high))
            declared = "write them as ISO 8601, for `type: timestamp`, or make it `type: ignored`"
            return f"{name} since 1970 ({begins} to {ends})", declared
    days = pa.array(texts, pa.string())
    if 19000101 <= low < high <= 21001231 and len(days) and _read(days, "%Y%m%d") >= MOSTLY:
        return "days such as 20260131", 'make it `type: timestamp`, `timestamp_format: "%Y%m%d"`'
    return None


def unread_examples(texts: Sequence[str], column: Column, notation: Notation) -> list[str]:
    """Up to three of some texts that do not read as a column's type."""
    values = pa.array(texts, pa.string())
    unread = type_values(values, column, notation).unread
    return [] if unread is None else values.filter(unread).slice(0, 3).to_pylist()
