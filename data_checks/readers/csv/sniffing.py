"""Guessing how a delimited file is written, from its first rows; what is uncertain is said."""

import itertools
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from data_checks.base.errors import SourceError, TextEncodingError
from data_checks.contract.source_settings import CsvSource
from data_checks.readers.csv.head import Head, read_head
from data_checks.readers.csv.other_formats import no_delimited_text
from data_checks.readers.opening import open_stream

Rows = Sequence[Sequence[str]]

_DELIMITERS = (",", ";", "\t", "|")
_AGREEING = 0.8
_NUMBER = re.compile(r"[+-]?[\d.,' \u00a0]*\d[\d.,]*([eE][+-]?\d+)?%?")
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}([ T].*)?")
_MARKS = {  # longest first: UTF-32's begins as UTF-16's
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_OLD = ("utf-8", "cp1252", "latin-1")
"""In the order they are tried; the last one reads any bytes."""


@dataclass(frozen=True)
class Sniffed:
    """How a file seems to be written.

    Attributes:
        settings: encoding, delimiter, quote and header.
        head: the first rows, split accordingly.
        doubts: what a person should look at.
    """

    settings: CsvSource
    head: Head
    doubts: tuple[str, ...]


def sniff(place: str, label: str | None = None, *, encoding: str | None = None) -> Sniffed:
    """Guess encoding, delimiter, quote and header of a delimited file.

    Args:
        place: local path or URL of an object store.
        label: a column that is known to be there; where the first line names it, it is a header.
        encoding: to take instead of guessing.

    Raises:
        SourceError: the file is missing, empty or unreadable.
    """
    settings, head = _decoded(place, encoding)
    heads = {
        mark: read_head(place, settings.model_copy(update={"delimiter": mark}))
        for mark in _DELIMITERS
    }
    delimiter = head.separator or max(_DELIMITERS, key=lambda mark: _fit(heads[mark].rows, mark))
    settings = settings.model_copy(update={"delimiter": delimiter})
    head = heads.get(delimiter) or read_head(place, settings)
    if all(len(cell) > 1 and cell[0] == cell[-1] == "'" for cell in head.rows[0]):
        settings = settings.model_copy(update={"quote": "'"})
        head = read_head(place, settings)
    header, doubt = _header(head.rows, label)
    doubts = [doubt] if doubt else []
    if settings.encoding in _OLD[1:]:
        control = any(_CONTROL.search(cell) for row in head.rows for cell in row)
        perhaps = "; control characters among them: perhaps another encoding" if control else ""
        doubts.insert(0, f"the bytes are not UTF-8; they are read as {settings.encoding}{perhaps}")
    return Sniffed(settings.model_copy(update={"header": header}), head, tuple(doubts))


def other_encodings(encoding: str) -> tuple[str, ...]:
    """What to try where bytes further down are not of an encoding."""
    return _OLD[_OLD.index(encoding) + 1 :] if encoding in _OLD else ()


def _decoded(place: str, encoding: str | None) -> tuple[CsvSource, Head]:
    with closing(open_stream(place)) as stream:
        first = stream.read(4096)
    if (foreign := no_delimited_text(first)) is not None:  # before zeros pass for UTF-16
        raise SourceError(f"{place}: this is {foreign}.")
    marked_encoding = next((name for mark, name in _MARKS.items() if first.startswith(mark)), None)
    if marked_encoding is None and 3 * first.count(b"\0") > len(first):
        marked_encoding = "utf-16-be" if first[:1] == b"\0" else "utf-16-le"
    tried = [encoding or marked_encoding] if encoding or marked_encoding else list(_OLD)
    for name in tried:
        settings = CsvSource(kind="csv", encoding=name)
        try:
            return settings, read_head(place, settings)
        except TextEncodingError:
            if name == tried[-1]:
                raise
    raise AssertionError("the last encoding reads or raises")


def _fit(rows: Rows, mark: str) -> tuple[float, float, int]:
    """How well a delimiter splits: rows that agree, cells that are numbers, fields of a row."""
    widths = [len(row) for row in rows]
    most = max(set(widths), key=widths.count)
    agreeing = widths.count(most) / len(widths)
    if agreeing < _AGREEING or most == 1:
        return 0.0, 0.0, 0
    cells = [cell.strip() for row in rows if len(row) == most for cell in row]
    numbers = sum(bool(_NUMBER.fullmatch(cell)) for cell in cells) / len(cells)
    return agreeing, numbers, most


def _header(rows: Rows, label: str | None) -> tuple[bool, str | None]:
    """Whether the first row holds names, and what is to be said when that is uncertain.

    Each column has a say. A first cell that is no number above numbers, or stands alone above
    levels that repeat, is a name; one that comes again below, or is a date or no whole number, is a
    value.
    """
    first, rest = [cell.strip() for cell in rows[0]], rows[1:]
    numeric = [cell for cell in first if _NUMBER.fullmatch(cell) or _DATE.fullmatch(cell)]
    if label is not None and label in first:
        return True, None
    if not numeric:
        below = [{row[i].strip() for row in rest if i < len(row)} for i in range(len(first))]
        if len(rest) > 1 and all(cell in seen for cell, seen in zip(first, below, strict=True)):
            return False, "the first line holds values that come again below; taken as a row"
        return True, None
    names, values = 0, 0
    for i, cell in enumerate(first):
        under = [row[i].strip() for row in rest if i < len(row) and row[i].strip()]
        if cell in numeric:
            values += not cell.isdigit()
        elif cell and cell in under:
            values += 1
        elif cell and under:
            counted = sum(bool(_NUMBER.fullmatch(text)) for text in under) > len(under) / 2
            names += counted or 2 * len(set(under)) <= len(under)
    shown = ", ".join(first[:4])
    if _in_sequence(numeric) and not values:
        # Whole numbers one apart are what pandas writes for names, and rarely a row.
        return True, f"the first line ({shown}) is taken as names, though numbers are among them"
    if names > values:
        return True, f"the first line ({shown}) is taken as names, though numbers are among them"
    doubt = None if values else f"the first line ({shown}) is taken as a row, not as names"
    return False, doubt


def _in_sequence(numbers: Sequence[str]) -> bool:
    if not all(number.isdigit() for number in numbers) or len(numbers) < 2:
        return False
    whole = [int(number) for number in numbers]
    return all(b - a == 1 for a, b in itertools.pairwise(whole))
