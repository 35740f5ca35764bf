"""Parquet: one file, a folder or a glob; only the wanted columns are read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from data_checks.base.errors import SourceError
from data_checks.base.locations import is_url
from data_checks.contract.column_names import Columns, check_names
from data_checks.readers.opening import open_url, refuse_pipe
from data_checks.readers.parquet_files import files_of, partition_columns, partition_value

BATCH_ROWS = 131_072


def read_parquet(location: str, columns: Columns) -> Iterator[pa.RecordBatch]:
    """Read Parquet in batches: a file, folder or glob, or the URL of one; files by their names.

    Every file must have the columns and types of those before: Arrow would otherwise fill a column
    that a later file lacks with nulls, without a word. A column without any value, which pandas
    writes without a type, goes with every type. A column that no file holds may be named by
    the folders they lie in (`year=2026`).

    Raises:
        SourceError: naming the file, and the column where one is concerned.
    """
    for name, file in _checked_files(location, columns):
        stored = _stored(file, columns.wanted)
        for batch in file.iter_batches(BATCH_ROWS, columns=stored):
            yield _with_partitions(name, batch, columns.wanted)


def parquet_parts(location: str, columns: Columns) -> list[tuple[str, list[int]]]:
    """The files that `read_parquet` reads, in its order, and the rows of each one's row groups.

    Raises:
        SourceError: as `read_parquet`.
    """
    parts = []
    for name, file in _checked_files(location, columns):
        footer = file.metadata
        groups = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
        parts.append((name, groups))
    return parts


def _checked_files(location: str, columns: Columns) -> Iterator[tuple[str, pq.ParquetFile]]:
    """The files of a table, each open until the next one is asked for."""
    types: dict[str, pa.DataType] = {}
    for name in files_of(location):
        with _parquet(name) as file:
            schema = file.schema_arrow
            _check_names(name, schema, columns)
            _check_types(name, schema, columns.wanted, types)
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
        for batch in file.iter_batches(
            BATCH_ROWS, row_groups=groups, columns=_stored(file, wanted)
        ):
            low, high = max(start - row, 0), min(stop - row, batch.num_rows)
            row += batch.num_rows
            if low < high:
                yield _with_partitions(name, batch.slice(low, high - low), wanted)


def _stored(file: pq.ParquetFile, wanted: Sequence[str]) -> list[str]:
    names = set(file.schema_arrow.names)
    return [column for column in wanted if column in names]


def _with_partitions(name: str, batch: pa.RecordBatch, wanted: Sequence[str]) -> pa.RecordBatch:
    """The wanted columns, those among them that only the names of folders hold, too."""
    if batch.schema.names == list(wanted):
        return batch
    stored = set(batch.schema.names)
    columns = []
    for column in wanted:
        if column in stored:
            columns.append(batch.column(column))
        else:
            text = pa.scalar(partition_value(name, column)[1], pa.string())
            columns.append(pa.repeat(text, batch.num_rows))
    return pa.RecordBatch.from_arrays(columns, names=list(wanted))


def parquet_schema(location: str) -> tuple[pa.Schema, list[str]]:
    """The schema of a file, or of the first file of a folder or glob, and what the folders name.

    Returns:
        The schema, and the columns that the folders of some files name, and those of others do not:
        they are no part of it.

    Raises:
        SourceError: there is no readable Parquet file.
    """
    names = files_of(location)
    with _parquet(names[0]) as file:
        schema = file.schema_arrow
    everywhere, somewhere = partition_columns(location, names)
    for column in everywhere:
        if column not in schema.names:
            schema = schema.append(pa.field(column, pa.string()))
    return schema, [column for column in somewhere if column not in schema.names]


@contextmanager
def _parquet(name: str) -> Iterator[pq.ParquetFile]:
    """An open file; anything wrong with it, even while it is read, is raised as a `SourceError`."""
    try:
        if not is_url(name):
            refuse_pipe(name)
        source = open_url(name) if is_url(name) else name
        # pre_buffer would hold whole row groups, which others may have written very large.
        with pq.ParquetFile(source, pre_buffer=False) as file:
            yield file
    except SourceError:
        raise
    except PermissionError as error:
        raise SourceError(f"{name}: cannot be read: permission denied.") from error
    except (pa.ArrowInvalid, OSError) as error:
        message = str(error).splitlines()[0]
        raise SourceError(f"{name}: not a readable Parquet file: {message}.") from error


def _kind(stored: pa.DataType) -> object:
    """What a column's values are, however they are stored.

    pandas writes whole numbers as integers in a file without gaps, as floats in the next.
    """
    if pa.types.is_dictionary(stored):
        stored = stored.value_type
    if pa.types.is_integer(stored) or pa.types.is_floating(stored) or pa.types.is_decimal(stored):
        return "number"
    if pa.types.is_timestamp(stored):
        return "time", stored.tz
    return "text" if pa.types.is_large_string(stored) or pa.types.is_string(stored) else stored


def _check_names(name: str, schema: pa.Schema, columns: Columns) -> None:
    stored = set(schema.names)
    required = [c for c in columns.wanted if c in stored or not partition_value(name, c)[0]]
    check_names(name, schema.names, required, ".")
    columns.refuse_extra(name, schema.names)


def _check_types(
    name: str, schema: pa.Schema, wanted: Sequence[str], types: dict[str, pa.DataType]
) -> None:
    """Compare with the types of the files before; one without any value has none."""
    for column in wanted:
        here = schema.field(column).type if column in schema.names else pa.null()
        if pa.types.is_null(here):
            continue
        there = types.setdefault(column, here)
        if _kind(here) != _kind(there):
            raise SourceError(
                f"{name}: column '{column}' is {here}, in a file before it is {there}; write all "
                "files with one schema."
            )
