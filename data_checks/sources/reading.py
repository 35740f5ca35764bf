"""Where the rows of a contract are, and raw batches of them in its names."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_checks.base.errors import SourceError
from data_checks.base.locations import file_location, inside, is_url, missing_file, names_files
from data_checks.contract.column_names import Columns
from data_checks.contract.model import Contract
from data_checks.contract.source_settings import (
    CsvSource,
    FileSource,
    MatSource,
    ParquetSource,
    SklearnSource,
    Source,
    SqlSource,
)
from data_checks.readers import arrays, parquet
from data_checks.readers.csv import text
from data_checks.readers.csv.head import read_head
from data_checks.readers.database import sql
from data_checks.readers.parquet_files import files_of
from data_checks.sources.integrity import download

BUNDLED = "sklearn:"
"""What the location of a table inside scikit-learn begins with."""


def locate(
    contract: Contract, data: Path | str | None, data_dir: Path, *, allow_download: bool = False
) -> str:
    """Where the rows are: a path, a URL of an object store or database, or `sklearn:NAME`.

    Raises:
        MissingDataError: the file is not there.
        SourceError: the path leaves the data folder, a URL holds a password, or is of a protocol
            that is not read.
    """
    source = contract.source
    if data is not None:
        _only_own_bundled(source, str(data))
        queried = isinstance(source, SqlSource) and is_url(str(data))
        if not queried or names_files(str(data)):
            return file_location(str(data))
    if isinstance(source, SqlSource):
        url = sql.database_url(source, None if data is None else str(data))
        if not is_url(url):
            raise SourceError("database: not a SQLAlchemy URL (dialect://host/database).")
        return url
    if not isinstance(source, FileSource):
        return f"{BUNDLED}{source.dataset}"
    if source.file is None:
        raise SourceError(
            f"{contract.name}: the contract names no file; give one with --data or set source.file."
        )
    file = file_location(source.file)
    if is_url(file):
        return file
    path = inside(data_dir, file) if source.confined else data_dir / file
    if path.exists() or any(mark in file for mark in "*?["):
        if source.confined and not path.is_file():
            for part in files_of(str(path)):  # a link in it may lead anywhere
                inside(data_dir, part)
        return str(path)
    if allow_download and source.url and source.sha256:
        return str(download(source.url, path, source.sha256))
    raise missing_file(contract.name, path, source.publisher, source.url)


def _only_own_bundled(source: Source, data: str) -> None:
    """A table inside scikit-learn has the columns and the label of one contract."""
    if not data.startswith(BUNDLED):
        return
    own = f"{BUNDLED}{source.dataset}" if isinstance(source, SklearnSource) else None
    if data != own:
        says = f"names {own}" if own else "reads no table of scikit-learn"
        raise SourceError(
            f"{data}: the contract {says}; give a file, or the contract of that table."
        )


def read_batches(
    contract: Contract, location: str, *, with_label: bool = True, also: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Raw batches of a source, as its reader found them.

    Args:
        contract: the contract.
        location: from `locate`.
        with_label: True to train: all columns that the contract keeps, and the label, must be
            there. False to score: only the feature columns must be, and only they are read.
        also: further columns to read when scoring; the label may be one of them.

    Raises:
        SourceError: the source cannot be read.
    """
    source, label = contract.source, contract.label
    columns = columns_read(contract, with_label=with_label, also=also)
    label_name = label.column if label is not None and label.column in columns.wanted else None
    match format_of(contract, location):
        case "sklearn":
            assert isinstance(source, SklearnSource)
            return arrays.read_bundled(source, label_name)
        case "sql":
            assert isinstance(source, SqlSource)
            return sql.read_sql(location, source, columns)
        case "parquet":
            return parquet.read_parquet(location, columns)
        case "mat":
            variables = source if isinstance(source, MatSource) else MatSource(kind="mat")
            names = [column.name for column in contract.columns]
            return arrays.read_mat(location, variables, names, label_name)
    settings = csv_settings(contract)
    if not with_label:
        expected = _names_without_label(contract, location, settings, columns.wanted)
        columns = replace(columns, expected=expected)
    return text.read_csv(location, settings, columns)


def csv_settings(contract: Contract) -> CsvSource:
    """How the delimited text of a contract is written; the defaults for another source."""
    source = contract.source
    return source if isinstance(source, CsvSource) else CsvSource(kind="csv")


def numbered_slices(
    batch: pa.RecordBatch, first: int, size: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """A batch in slices of at most `size` rows, each with the table's number of its first row."""
    for start in range(0, batch.num_rows, size):
        yield first + start, batch.slice(start, size)


def picked_rows(
    contract: Contract, location: str, rows: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
    """The feature columns of some rows, in the order of the source.

    Args:
        contract: the contract.
        location: from `locate`.
        rows: 0-based, ascending, int64 of shape ``(n,)``; those behind the last row are left out.

    Yields:
        Numbers of rows, and the rows as their reader found them.

    Raises:
        SourceError: the source cannot be read.
    """
    first = 0
    for batch in read_batches(contract, location, with_label=False):
        inside = slice(*np.searchsorted(rows, [first, first + batch.num_rows]))
        if mine := rows[inside].tolist():
            numbers = np.array(mine, dtype=np.int64)
            yield numbers, batch.take(pa.array(numbers - first))
        first += batch.num_rows
        if inside.stop == len(rows):
            return


def columns_read(
    contract: Contract, *, with_label: bool = True, also: Sequence[str] = ()
) -> Columns:
    """What `read_batches` asks of a source; the label is last of what is read."""
    wanted = [
        column.name
        for column in contract.stored_columns
        if with_label or column.is_feature or column.name in also
    ]
    label = contract.label
    if label is not None and (with_label or label.column in also):
        wanted.append(label.column)
    extra = contract.extra_columns if with_label else "ignore"
    return Columns(contract.source_names, wanted, extra)


def count_rows(contract: Contract, location: str) -> int | None:
    """Rows of a source where that is known without reading it (Parquet); else None.

    Raises:
        SourceError: a file cannot be read, or its columns are not those of the contract.
    """
    if format_of(contract, location) != "parquet":
        return None
    parts = parquet.parquet_parts(location, columns_read(contract, with_label=False))
    return sum(sum(groups) for _, groups in parts)


def format_of(
    contract: Contract, location: str
) -> Literal["sklearn", "sql", "parquet", "mat", "csv"]:
    """How a location is read.

    Its own ending says more than the contract, which may be about another file.
    """
    ending, source = location.lower(), contract.source
    if isinstance(source, SqlSource) and is_url(location):
        return "sql"
    if location.startswith(BUNDLED):
        return "sklearn"
    if ending.endswith((".parquet", ".pq")) or isinstance(source, ParquetSource):
        return "parquet"
    if not is_url(location) and Path(location).is_dir():
        return "parquet"  # the one format that is read from folders
    return "mat" if ending.endswith(".mat") else "csv"


def _names_without_label(
    contract: Contract, location: str, settings: CsvSource, wanted: Sequence[str]
) -> tuple[str, ...]:
    if settings.header:
        return tuple(wanted)
    # Without a header only the number of fields can tell whether the label is there.
    names = contract.source_names
    without = tuple(column.name for column in contract.columns)
    return without if len(read_head(location, settings).rows[0]) == len(without) else names
