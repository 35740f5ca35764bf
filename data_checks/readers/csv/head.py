"""The beginning of a delimited file: what stands before its rows, and how its first rows split.

Byte order mark, blank lines, Excel's `sep=;` and the header are left behind by byte, not by line:
a name in quotes may run over several lines, and a line may end in CR, LF or both.
"""

import codecs
import csv
import io
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa

from data_checks.base.errors import SourceError, TextEncodingError
from data_checks.contract.source_settings import CsvSource
from data_checks.readers.csv.other_formats import no_delimited_text
from data_checks.readers.opening import open_stream

_BLOCK_BYTES = 1 << 20
_MOST_BYTES = 16 << 20
_ROWS = 50
_MARK = "\ufeff"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


@dataclass(frozen=True)
class Head:
    """What a delimited file begins with.

    Attributes:
        rows: the first rows, split into fields; the header is the first of them, if there is one.
        start: bytes before the first row, in UTF-8.
        after_first: bytes before the second row.
        lines: lines before the second row.
        separator: the delimiter that a first line `sep=;` names.
    """

    rows: tuple[tuple[str, ...], ...]
    start: int
    after_first: int
    lines: int
    separator: str | None


def open_text(location: str, encoding: str) -> Any:
    """Open a text file for reading bytes in UTF-8, decompressed; a byte order mark may come first.

    Raises:
        SourceError: the file is not there or not readable, or the encoding is not known.
    """
    stream = open_stream(location)
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig"):
        return stream
    try:
        return pa.transcoding_input_stream(stream, encoding, "utf-8")
    except LookupError as error:
        stream.close()
        raise SourceError(f"source.encoding {encoding!r} is not a known encoding.") from error


def read_head(location: str, source: CsvSource) -> Head:
    """Read the first rows of a file: as many bytes as the first of them needs, at least a megabyte.

    Raises:
        SourceError: the file is empty, damaged, or not text in the stated encoding.
    """
    content = b""
    try:
        with closing(open_text(location, source.encoding)) as stream:
            while block := stream.read(_BLOCK_BYTES):
                content += block
                if (foreign := no_delimited_text(content)) is not None:
                    raise SourceError(f"{location}: this is {foreign}.")
                head = _split(location, content, source, whole=len(block) < _BLOCK_BYTES)
                if head is not None:
                    return head
                if len(content) > _MOST_BYTES:
                    raise SourceError(
                        f"{location}, line 1: longer than {_MOST_BYTES >> 20} MiB: probably a "
                        "quote that is never closed."
                    )
    except SourceError:
        raise
    except UnicodeError as error:
        raise TextEncodingError(f"{location}: {not_text(source, error)}") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{location}: {unreadable(str(error))}") from error
    head = _split(location, content, source, whole=True)
    if head is None:
        raise SourceError(f"{location}: the file is empty.")
    return head


def header_names(fields: Sequence[str]) -> list[str]:
    """Column names from a header: on one line, no blanks around; `column_N` where there is none."""
    names = (re.sub(r"\s*[\r\n\t]\s*", " ", field).strip() for field in fields)
    return [name or f"column_{i}" for i, name in enumerate(names, start=1)]


def not_text(source: CsvSource, error: UnicodeError) -> str:
    """What to say of bytes that are not of the stated encoding."""
    why = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
    return (
        f"bytes that are not {source.encoding} ({why}); set source.encoding in the contract (for "
        "example latin-1)."
    )


def unreadable(message: str) -> str:
    """What to say of a file that cannot be decompressed."""
    if "Truncated compressed stream" in message:
        return "the compressed file is cut short; copy or download it again."
    if "inflate failed" in message or "decompress" in message.lower():
        return f"the compressed file is damaged ({message}); copy or download it again."
    return f"{message}."


def _split(location: str, content: bytes, source: CsvSource, *, whole: bool) -> Head | None:
    """The head, or None while it does not hold a row."""
    text = _decoded(location, content, source, whole)
    lines, start, separator, first = io.StringIO(text, newline=""), 0, None, ""
    for before, first in enumerate(lines):  # noqa: B007
        bare = first.strip(" \r\n").strip(_MARK)
        named = _SEPARATOR_LINE.fullmatch(bare) if separator is None else None
        if named is not None:
            separator = named[1]
        elif bare.strip():
            break
        start = lines.tell()
    else:
        return None
    if start == 0 and first.startswith(_MARK):
        start, first = len(_MARK), first.removeprefix(_MARK)
    records = csv.reader(chain([first], lines), delimiter=source.delimiter, quotechar=source.quote)
    rows: list[tuple[str, ...]] = []
    after, count = 0, 0
    limit = csv.field_size_limit(_MOST_BYTES)  # split at another mark, a wide header is one field
    try:
        for record in records:
            if lines.tell() == len(text) and not whole:
                break  # perhaps the rest of it has not been read
            if rows and not any(field.strip() for field in record):
                continue
            rows.append(tuple(record))
            if len(rows) == 1:
                after, count = lines.tell(), before + records.line_num
            if len(rows) == _ROWS:
                break
    except csv.Error as error:
        raise SourceError(f"{location}, line {before + records.line_num}: {error}.") from error
    finally:
        csv.field_size_limit(limit)
    if not rows:
        return None
    sizes = [len(text[:end].encode()) for end in (start, after)]
    return Head(tuple(rows), sizes[0], sizes[1], count, separator)


def _decoded(location: str, content: bytes, source: CsvSource, whole: bool) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        if not whole and error.end >= len(content) - 3 and error.reason == "unexpected end of data":
            return content[: error.start].decode()
        line = content[: error.start].count(b"\n") + 1
        marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        raise TextEncodingError(
            f"{location}, line {line}: byte 0x{content[error.start]:02x} is not {source.encoding}; "
            f"save the file as {source.encoding}, or set source.encoding in the contract (for "
            f"example {'utf-16' if marked else 'latin-1'})."
        ) from error
