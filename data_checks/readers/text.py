"""Delimited text, read in blocks; every value stays text until the contract gives it a type."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.csv

from data_checks.errors import SourceError
from data_checks.readers.opening import open_stream
from data_checks.source_settings import CsvSource

BLOCK_BYTES = 8 << 20
_HEAD_BYTES = 1 << 20


def read_csv(
    location: str, source: CsvSource, expected: Sequence[str], wanted: Sequence[str], *, extra: str
) -> Iterator[pa.RecordBatch]:
    """Read a delimited file.

    Args:
        location: local path or URL of an object store.
        source: delimiter, quoting, encoding, whether there is a header.
        expected: all column names of the contract, in order.
        wanted: those to read.
        extra: "refuse" or "ignore" columns that are not expected.

    Yields:
        Batches with the wanted columns, all text.

    Raises:
        SourceError: with row and column where they are known.
    """
    names, skip = _names(location, source, expected, extra)
    bad_rows: list[Any] = []

    def note(row: Any) -> str:
        bad_rows.append(row)
        return "error"

    try:
        with closing(open_stream(location)) as stream:
            reader = pyarrow.csv.open_csv(
                stream,
                read_options=pyarrow.csv.ReadOptions(
                    column_names=names,
                    skip_rows=skip,
                    block_size=BLOCK_BYTES,
                    use_threads=False,
                    encoding=source.encoding,
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=source.delimiter,
                    quote_char=source.quote,
                    newlines_in_values=True,
                    invalid_row_handler=note,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    strings_can_be_null=False,
                    include_columns=list(wanted),
                ),
            )
            yield from reader
    except SourceError:
        raise
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(_explain(location, str(error), names, bad_rows)) from error


def read_head(location: str, source: CsvSource) -> list[list[str]]:
    """The first rows of the file, split into fields, at most those of the first megabyte.

    Raises:
        SourceError: the file is empty or not text in the stated encoding.
    """
    try:
        with closing(open_stream(location)) as stream:
            head = stream.read(_HEAD_BYTES)
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(_explain(location, str(error), [], [])) from error
    if not head.strip():
        raise SourceError(f"{location}: the file is empty.")
    encoding = "utf-8-sig" if source.encoding.lower() in ("utf-8", "utf8") else source.encoding
    try:
        text = head.decode(encoding, errors="ignore" if len(head) == _HEAD_BYTES else "strict")
    except LookupError as error:
        raise SourceError(
            f"source.encoding {source.encoding!r} is not a known encoding."
        ) from error
    except UnicodeDecodeError as error:
        line = head[: error.start].count(b"\n") + 1
        raise SourceError(
            f"{location}, line {line}: byte 0x{head[error.start]:02x} is not {source.encoding}; "
            "set source.encoding in the contract (for example latin-1)."
        ) from error
    rows = csv.reader(io.StringIO(text), delimiter=source.delimiter, quotechar=source.quote)
    try:
        return [row for _, row in zip(range(50), rows, strict=False) if row]
    except csv.Error as error:
        hint = " Probably a quote is never closed." if "limit" in str(error) else ""
        raise SourceError(f"{location}, line {rows.line_num}: {error}.{hint}") from error


def header_names(fields: Sequence[str]) -> list[str]:
    """Column names from a header: without surrounding spaces; `column_N` where there is none."""
    return [field.strip() or f"column_{i}" for i, field in enumerate(fields, start=1)]


def _names(
    location: str, source: CsvSource, expected: Sequence[str], extra: str
) -> tuple[list[str], int]:
    head = read_head(location, source)
    first = head[0]
    if source.header:
        first = header_names(first)
    if not source.header:
        if len(first) != len(expected):
            raise SourceError(
                f"{location}, line 1: {len(first)} fields, the contract names {len(expected)} "
                f"columns.{_delimiter_hint(first, source)}"
            )
        if sum(a == b for a, b in zip(first, expected, strict=True)) > len(expected) / 2:
            raise SourceError(
                f"{location}, line 1 holds column names, but the contract says header: false."
            )
        return list(expected), 0
    if twice := sorted({name for name in first if first.count(name) > 1}):
        raise SourceError(f"{location}, line 1: column named twice: {_listed(twice)}.")
    if absent := [name for name in expected if name not in first]:
        raise SourceError(
            f"{location}, line 1: missing column {_listed(absent)}."
            f"{_header_hint(first, expected, source)}"
        )
    check_extra(location, first, expected, extra)
    if len(head) > 1 and header_names(head[1]) == first:
        raise SourceError(f"{location}, line 2: the header stands twice; remove one.")
    return first, 1


def check_extra(location: str, found: Sequence[str], expected: Sequence[str], extra: str) -> None:
    """Refuse columns that the contract does not name, unless it ignores them.

    Raises:
        SourceError: naming them.
    """
    unknown = [name for name in found if name not in expected]
    if unknown and extra == "refuse":
        raise SourceError(
            f"{location}: column {_listed(unknown)} is not in the contract; list it there with "
            "type: ignored, or set extra_columns: ignore."
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _header_hint(first: Sequence[str], expected: Sequence[str], source: CsvSource) -> str:
    if hint := _delimiter_hint(first, source):
        return hint
    lower = {name.strip().lower() for name in first}
    if any(name.lower() in lower for name in expected):
        return f" The file has {_listed(first)}."
    return " The first line seems to hold values; if there is no header, set header: false."


def _delimiter_hint(first: Sequence[str], source: CsvSource) -> str:
    if len(first) == 1:
        counts = {mark: first[0].count(mark) for mark in ",;\t|" if mark != source.delimiter}
        best = max(counts, key=lambda mark: counts[mark])
        if counts[best]:
            return f" The line splits at {best!r}: set source.delimiter."
    return ""


def _explain(location: str, said: str, names: Sequence[str], bad_rows: Sequence[Any]) -> str:
    if bad_rows:
        row = bad_rows[0]
        place = "a row" if row.number is None else f"row {row.number} (counted from 1, header too)"
        return (
            f"{location}, {place}: {row.actual_columns} fields instead of {row.expected_columns}: "
            f"{row.text[:80]!r}."
        )
    if "Truncated compressed stream" in said:
        return f"{location}: the compressed file is cut short; copy or download it again."
    if "inflate failed" in said or "decompress" in said.lower():
        return f"{location}: the compressed file is damaged ({said}); copy or download it again."
    if "straddl" in said:
        return (
            f"{location}: a row longer than {BLOCK_BYTES >> 20} MiB: probably a quote "
            f"{'that is never closed'}; check the quoting."
        )
    if "invalid UTF8" in said:
        column, _, rest = said.removeprefix("In CSV column #").partition(":")
        row_text = rest.strip().split(":")[0].removeprefix("Row #")
        name = names[int(column)] if column.isdigit() and int(column) < len(names) else "?"
        return (
            f"{location}, row {row_text}, column '{name}': bytes that are not UTF-8; set "
            "source.encoding in the contract (for example latin-1)."
        )
    return f"{location}: {said}."
