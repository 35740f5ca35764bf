"""Delimited text, read in blocks; every value stays text until the contract gives it a type."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing

import pyarrow as pa
import pyarrow.csv

from data_checks.base.errors import SourceError, TextEncodingError
from data_checks.contract.column_names import Columns, check_names, listed
from data_checks.contract.source_settings import CsvSource
from data_checks.readers.csv.head import (
    Head,
    header_names,
    not_text,
    open_text,
    read_head,
    unreadable,
)
from data_checks.readers.csv.reading_ahead import ReadingAhead

BLOCK_BYTES = 8 << 20
_BAD_ROW = re.compile(
    r"Row #(?P<row>\d+): Expected (?P<expected>\d+) columns, got (?P<fields>\d+): (?P<text>.*)",
    re.S,
)


def read_csv(location: str, source: CsvSource, columns: Columns) -> Iterator[pa.RecordBatch]:
    """Read a delimited file, local or in an object store; blank lines are no rows.

    Yields:
        Batches with the wanted columns, all text.

    Raises:
        SourceError: with row and column where they are known.
    """
    head = read_head(location, source)
    names = _names(location, source, head, columns)
    skipped = head.lines if source.header else head.lines - 1
    try:
        with (
            closing(open_text(location, source.encoding)) as stream,
            ReadingAhead(stream) as ahead,
        ):
            stream.read(head.after_first if source.header else head.start)
            ahead.reader = pyarrow.csv.open_csv(
                ahead.source,
                read_options=pyarrow.csv.ReadOptions(
                    column_names=names, block_size=BLOCK_BYTES, use_threads=False
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=source.delimiter,
                    quote_char=source.quote,
                    newlines_in_values=True,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    strings_can_be_null=False,
                    include_columns=list(columns.wanted),
                ),
            )
            yield from ahead.reader
    except SourceError:
        raise
    except UnicodeError as error:
        raise TextEncodingError(f"{location}: {not_text(source, error)}") from error
    except (pa.ArrowInvalid, OSError) as error:
        if "Empty CSV file" in str(error):
            return  # a header, and no row
        kind = TextEncodingError if "invalid UTF8" in str(error) else SourceError
        raise kind(_explain(location, str(error), names, skipped, head)) from error


def _names(location: str, source: CsvSource, head: Head, columns: Columns) -> list[str]:
    expected = columns.expected
    if not source.header:
        _check_width(location, source, head.rows[0], expected)
        return list(expected)
    first = header_names(head.rows[0])
    hint = _header_hint(first, expected, source)
    check_names(f"{location}, line {head.lines}", first, expected, f".{hint}")
    columns.refuse_extra(location, first)
    if len(head.rows) > 1 and header_names(head.rows[1]) == first:
        raise SourceError(
            f"{location}, line {head.lines + 1}: the header appears twice; remove one."
        )
    return first


def _check_width(
    location: str, source: CsvSource, first: Sequence[str], expected: Sequence[str]
) -> None:
    if len(first) != len(expected):
        raise SourceError(
            f"{location}, line 1: {len(first)} fields, the contract names {len(expected)} "
            f"columns.{_delimiter_hint(first, source)}"
        )
    if sum(a == b for a, b in zip(first, expected, strict=True)) > len(expected) / 2:
        raise SourceError(
            f"{location}, line 1 holds column names, but the contract says header: false."
        )


def _header_hint(first: Sequence[str], expected: Sequence[str], source: CsvSource) -> str:
    if hint := _delimiter_hint(first, source):
        return hint
    lower = {name.strip().lower() for name in first}
    if any(name.lower() in lower for name in expected) or not any(map(_is_number, first)):
        return f" The file has {listed(first)}."
    return " The first line seems to hold values; if there is no header, set header: false."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _delimiter_hint(first: Sequence[str], source: CsvSource) -> str:
    if len(first) == 1:
        counts = {mark: first[0].count(mark) for mark in ",;\t|" if mark != source.delimiter}
        best = max(counts, key=lambda mark: counts[mark])
        if counts[best]:
            return f" The line splits at {best!r}: set source.delimiter."
    return ""


def _narrow_header_hint(head: Head) -> str:
    """What to do where only the first line has its width: a title, or names without an index."""
    first, *widths = [len(row) for row in head.rows]
    if len(set(widths[-5:])) != 1 or widths[-1] <= first:
        return ""
    start = ", ".join(head.rows[0][:4])[:60]
    return (
        f" The first line ({start!r}) has {first}, the rows below have {widths[-1]}: remove lines "
        "above the header, or name every column."
    )


def _explain(location: str, message: str, names: Sequence[str], skipped: int, head: Head) -> str:
    if bad_row := _BAD_ROW.search(message):
        number = int(bad_row["row"]) + skipped
        return (
            f"{location}, row {number} (counted from 1, header too): {bad_row['fields']} fields "
            f"instead of {bad_row['expected']}: {bad_row['text'][:80]!r}."
            f"{_narrow_header_hint(head)}"
        )
    if "straddl" in message:
        return (
            f"{location}: a row longer than {BLOCK_BYTES >> 20} MiB: probably a quote that is "
            "never closed; check the quoting."
        )
    if "invalid UTF8" in message:
        column, _, rest = message.removeprefix("In CSV column #").partition(":")
        row_text = rest.strip().split(":")[0].removeprefix("Row #")
        name = names[int(column)] if column.isdigit() and int(column) < len(names) else "?"
        place = int(row_text) + skipped if row_text.isdigit() else row_text
        return (
            f"{location}, row {place}, column '{name}': bytes that are not UTF-8; set "
            "source.encoding in the contract (for example latin-1)."
        )
    return f"{location}: {unreadable(message)}"
