"""Parquet: one file, a folder or a glob; only the wanted columns are read."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_checks.errors import MissingDataError, SourceError
from data_checks.locations import is_url
from data_checks.readers.opening import open_url, store_errors, url_filesystem
from data_checks.readers.text import check_extra

BATCH_ROWS = 131_072


def read_parquet(
    location: str, expected: Sequence[str], wanted: Sequence[str], *, extra: str
) -> Iterator[pa.RecordBatch]:
    """Read Parquet in batches, files in order of their names.

    Every file must have the columns and types of the first: Arrow would otherwise fill a column
    that a later file lacks with nulls, without a word.

    Args:
        location: file, folder, glob, or URL of one of these in an object store.
        expected: all column names of the contract.
        wanted: those to read.
        extra: "refuse" or "ignore" columns that are not expected.

    Raises:
        SourceError: naming the file, and the column where one is concerned.
    """
    for _, file in _checked_files(location, expected, wanted, extra):
        yield from file.iter_batches(BATCH_ROWS, columns=list(wanted))


@dataclass(frozen=True)
class ParquetPart:
    """One file of a table.

    Attributes:
        name: path or URL.
        groups: rows of each of its row groups.
    """

    name: str
    groups: tuple[int, ...]


def parquet_parts(
    location: str, expected: Sequence[str], wanted: Sequence[str], *, extra: str
) -> list[ParquetPart]:
    """The files that `read_parquet` reads, in its order, from their footers.

    Args:
        location: file, folder, glob, or URL of one of these in an object store.
        expected: all column names of the contract.
        wanted: those to read.
        extra: "refuse" or "ignore" columns that are not expected.

    Raises:
        SourceError: as `read_parquet`.
    """
    parts = []
    for name, file in _checked_files(location, expected, wanted, extra):
        footer = file.metadata
        groups = (footer.row_group(i).num_rows for i in range(footer.num_row_groups))
        parts.append(ParquetPart(name, tuple(groups)))
    return parts


def _checked_files(
    location: str, expected: Sequence[str], wanted: Sequence[str], extra: str
) -> Iterator[tuple[str, pq.ParquetFile]]:
    """The files of a table, each open until the next one is asked for."""
    first: pa.Schema | None = None
    for name in files_of(location):
        with _parquet(name) as file:
            schema = file.schema_arrow
            _check_schema(name, schema, expected, wanted, extra, first)
            first = first or schema
            yield name, file


def read_parquet_rows(
    name: str, start: int, stop: int, wanted: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Rows `start` to `stop` of one file, without the row groups before and behind them.

    Raises:
        SourceError: naming the file.
    """
    with _parquet(name) as file:
        groups, first, row = [], None, 0
        for number in range(file.metadata.num_row_groups):
            rows = file.metadata.row_group(number).num_rows
            if row < stop and start < row + rows:
                groups.append(number)
                first = row if first is None else first
            row += rows
        row = first or 0
        for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=list(wanted)):
            low, high = max(start - row, 0), min(stop - row, batch.num_rows)
            row += batch.num_rows
            if low < high:
                yield batch.slice(low, high - low)


def parquet_schema(location: str) -> pa.Schema:
    """The schema of a file, or of the first file of a folder or glob.

    Raises:
        SourceError: there is no readable Parquet file.
    """
    with _parquet(files_of(location)[0]) as file:
        return file.schema_arrow


def parquet_rows(location: str) -> int:
    """Rows of a file, or of all files of a folder or glob, from their footers.

    Raises:
        SourceError: there is no readable Parquet file.
    """
    rows = 0
    for name in files_of(location):
        with _parquet(name) as file:
            rows += file.metadata.num_rows
    return rows


@contextmanager
def _parquet(name: str) -> Iterator[pq.ParquetFile]:
    """An open file; whatever is wrong with it, also while it is read, is one error of ours."""
    try:
        # pre_buffer would hold whole row groups, which others may have written very large.
        with pq.ParquetFile(_opened(name), pre_buffer=False) as file:
            yield file
    except SourceError:
        raise
    except PermissionError as error:
        raise SourceError(f"{name}: cannot be read: permission denied.") from error
    except (pa.ArrowInvalid, OSError) as error:
        said = str(error).splitlines()[0]
        raise SourceError(f"{name}: not a readable Parquet file: {said}.") from error


def files_of(location: str) -> list[str]:
    """The files in order of their names; of a remote folder or glob, their URLs.

    Raises:
        MissingDataError: there is none.
        SourceError: the store cannot be reached.
    """
    if is_url(location):
        filesystem, path = url_filesystem(location)
        with store_errors(location):
            pattern = f"{path.rstrip('/')}/**/*.parquet" if filesystem.isdir(path) else path
            found = [filesystem.unstrip_protocol(name) for name in sorted(filesystem.glob(pattern))]
    else:
        local = Path(location)
        if local.is_dir():
            found = sorted(str(file) for file in local.rglob("*.parquet"))
        elif local.exists():
            found = [str(local)]
        else:
            found = sorted(glob.glob(location, recursive=True))  # noqa: PTH207 (may be absolute)
    if not found:
        raise MissingDataError(f"{location}: no Parquet file there.")
    return found


def _opened(name: str) -> Any:
    return open_url(name) if is_url(name) else name


def _check_schema(
    name: str,
    schema: pa.Schema,
    expected: Sequence[str],
    wanted: Sequence[str],
    extra: str,
    first: pa.Schema | None,
) -> None:
    if twice := sorted({n for n in schema.names if schema.names.count(n) > 1}):
        raise SourceError(f"{name}: column named twice: {', '.join(twice)}.")
    if absent := [column for column in wanted if column not in schema.names]:
        shown = ", ".join(f"'{column}'" for column in absent[:5])
        raise SourceError(f"{name}: missing column {shown}.")
    check_extra(name, schema.names, expected, extra)
    if first is None:
        return
    for column in wanted:
        here, there = schema.field(column).type, first.field(column).type
        if here != there:
            raise SourceError(
                f"{name}: column '{column}' is {here}, in the first file it is {there}; write all "
                "files with one schema."
            )
