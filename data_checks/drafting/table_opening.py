"""Any table, opened to be profiled: what its format and its first rows say of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from data_checks.base.errors import SourceError, TextEncodingError
from data_checks.base.locations import is_url
from data_checks.base.visible import visible
from data_checks.contract.column_names import Columns, listed
from data_checks.contract.columns import is_reserved
from data_checks.contract.notation import PLAIN
from data_checks.contract.source_settings import CsvSource, MatSource
from data_checks.drafting.first_look import first_look
from data_checks.drafting.profile import TableProfile, profile_batches
from data_checks.readers.arrays import describe_mat, read_mat
from data_checks.readers.csv.head import header_names
from data_checks.readers.csv.sniffing import other_encodings, sniff
from data_checks.readers.csv.text import read_csv
from data_checks.readers.parquet import parquet_schema, read_parquet


@dataclass(frozen=True)
class OpenedTable:
    """A table that can be read from its beginning, and the lines that say how."""

    names: list[str]
    lines: list[str]
    doubts: tuple[str, ...]
    read: Callable[[], Iterator[pa.RecordBatch]]
    settings: CsvSource | None = None


def open_table(place: str, label: str | None) -> tuple[OpenedTable, TableProfile]:
    """Open and profile a table; where bytes further down are of another encoding, once more.

    Raises:
        SourceError: the table cannot be read, or has no such column.
    """
    opened = _open(place, label)
    others = other_encodings(opened.settings.encoding) if opened.settings else ()
    for encoding in (None, *others):
        if encoding is not None:
            opened = _open_csv(place, label, encoding)
        if label is not None and label not in opened.names:
            message = f"{place}: there is no column '{label}' to take as label; there is: "
            message += f"{listed(opened.names)}."
            if len(opened.names) == 1:
                message += " If that is not a header, delete what comes before the header."
            raise SourceError(message)
        try:
            with closing(opened.read()) as batches:  # type: ignore[type-var]  # a generator
                first = next(batches, None)
            delimiter = opened.settings.delimiter if opened.settings else None
            look = (PLAIN, {}, []) if first is None else first_look(first, delimiter)
            notation, formats, doubts = look
            profile = profile_batches(opened.read(), opened.names, notation, formats)
        except TextEncodingError:
            if encoding == (others or (None,))[-1]:
                raise
        else:
            lines = list(opened.lines)
            marks = (("decimal", notation.decimal, "."), ("thousands", notation.thousands, ""))
            lines += [f"  {key}: {json.dumps(mark)}" for key, mark, usual in marks if mark != usual]
            return replace(opened, lines=lines, doubts=(*opened.doubts, *doubts)), profile
    raise AssertionError("the last encoding reads or raises")


def _open(place: str, label: str | None) -> OpenedTable:
    if place.lower().endswith((".parquet", ".pq")) or (not is_url(place) and Path(place).is_dir()):
        return _open_parquet(place)
    if place.lower().endswith(".mat"):
        return _open_mat(place, label)
    return _open_csv(place, label)


def _open_parquet(place: str) -> OpenedTable:
    schema, partly = parquet_schema(place)
    nested = [field.name for field in schema if _is_nested(field.type)]
    reserved = [name for name in schema.names if is_reserved(name) and name not in nested]
    names = [name for name in schema.names if name not in {*nested, *reserved}]
    lines, doubts = ["  kind: parquet"], []
    for left_out, why in (
        (nested, "lists or structures; store what the model is to see in columns of their own"),
        (reserved, "a name that is reserved (pandas' index, for one); rename it to keep it"),
    ):
        if left_out:
            doubts.append(f"{listed(left_out)} left out: {why}")
    if nested or reserved:
        lines.append(f"extra_columns: ignore  # {visible(listed([*nested, *reserved]))}")
    if partly:
        doubts.append(
            f"{listed(partly)} left out: the folders of some files name it, those of others do "
            "not; move the files into folders that do"
        )
    read = partial(read_parquet, place, Columns(names, names, "ignore"))
    return OpenedTable(names, lines, tuple(doubts), read)


def _is_nested(kind: pa.DataType) -> bool:
    stored = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    return bool(pa.types.is_nested(stored))


def _open_csv(place: str, label: str | None, encoding: str | None = None) -> OpenedTable:
    sniffed = sniff(place, label, encoding=encoding)
    settings, first = sniffed.settings, sniffed.head.rows[0]
    unnamed = [f"column_{i}" for i in range(1, len(first) + 1)]
    names = header_names(first) if settings.header else unnamed
    lines, doubts = ["  kind: csv"], list(sniffed.doubts)
    if settings.delimiter != ",":
        lines.append(f"  delimiter: {json.dumps(settings.delimiter)}")
    if settings.quote != '"':
        lines.append(f"  quote: {json.dumps(settings.quote)}")
    if not settings.header:
        lines.append("  header: false  # no names in the first line; rename the columns below")
        start = ", ".join([cell[:20] for cell in first[:3]] + ["…"] * (len(first) > 3))
        doubts.append(
            f"the first line ({start}) is taken as values; `header: true` if it holds names"
        )
    if settings.encoding != "utf-8":
        lines.append(f"  encoding: {settings.encoding}")
    read = partial(read_csv, place, settings, Columns(names, names))
    return OpenedTable(names, lines, tuple(doubts), read, settings)


def _open_mat(place: str, label: str | None) -> OpenedTable:
    features, width, vectors = describe_mat(place)
    if label is not None and label not in vectors:
        known = ", ".join(vectors) or "none"
        raise SourceError(f"{place}: no vector '{label}' to take as label; there is: {known}.")
    names = [f"x{i}" for i in range(1, width + 1)]
    source = MatSource(kind="mat", features=features, labels=label or "y")
    lines = ["  kind: mat", f"  features: {json.dumps(features)}"]
    lines += [f"  labels: {json.dumps(label)}"] if label is not None else []
    every = names if label is None else [*names, label]
    return OpenedTable(every, lines, (), lambda: read_mat(place, source, names, label))
