"""Guessing how a delimited file is written, from its first rows."""

from __future__ import annotations

import re

from data_checks.errors import SourceError
from data_checks.readers.head import read_head
from data_checks.source_settings import CsvSource

_DELIMITERS = (",", ";", "\t", "|")
_AGREEING = 0.8


def sniff(place: str) -> tuple[CsvSource, tuple[tuple[str, ...], ...]]:
    """Guess encoding, delimiter and header of a delimited file.

    Args:
        place: local path or URL of an object store.

    Returns:
        The settings, and the first rows split accordingly.

    Raises:
        SourceError: the file is missing, empty or unreadable.
    """
    settings = CsvSource(kind="csv")
    try:
        read_head(place, settings)
    except SourceError as error:
        if "is not utf-8" not in str(error):
            raise
        settings = settings.model_copy(update={"encoding": "latin-1"})
    heads = {
        mark: read_head(place, settings.model_copy(update={"delimiter": mark})).rows
        for mark in _DELIMITERS
    }
    delimiter = max(_DELIMITERS, key=lambda mark: _fields(heads[mark]))
    head = heads[delimiter]
    header = not any(_is_number(field) for field in head[0])
    return settings.model_copy(update={"delimiter": delimiter, "header": header}), head


def _fields(rows: tuple[tuple[str, ...], ...]) -> int:
    """Fields in a row, if most rows agree; a delimiter that splits rows unevenly is none."""
    widths = [len(row) for row in rows]
    most = max(set(widths), key=widths.count)
    return most if widths.count(most) >= _AGREEING * len(widths) and most > 1 else 0


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", text) is not None
