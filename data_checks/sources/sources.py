"""From any source to one typed Parquet file.

`ingest` streams the source through the contract's types and writes Parquet next to its final
place, then renames: a reader sees the whole table or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_checks.base.atomic import removed_on_error, replacing
from data_checks.base.errors import SourceError
from data_checks.base.locations import file_location, inside, is_url, missing, names_files
from data_checks.contract.columns import Frozen
from data_checks.contract.model import ANOMALY_COLUMN, Contract
from data_checks.contract.source_settings import (
    CsvSource,
    FileSource,
    MatSource,
    ParquetSource,
    SklearnSource,
    Source,
    SqlSource,
)
from data_checks.readers import bundled, matlab, parquet
from data_checks.readers.database import sql
from data_checks.readers.delimited import text
from data_checks.readers.delimited.head import read_head
from data_checks.readers.parquet_files import files_of
from data_checks.rows.casting import cast_batch, stored_schema
from data_checks.sources.downloads import download
from data_checks.sources.integrity import (
    changed,
    file_state,
    refuse_swallowed_rows,
    sha256_of,
    shown,
    verified_sha256,
)

ROW_GROUP_ROWS = 131_072
BUNDLED = "sklearn:"
"""What the location of a table inside scikit-learn begins with."""


class IngestRecord(Frozen):
    """What `ingest` wrote.

    `sha256` is of the Parquet file, `source_sha256` of the source file where there is one, and
    `source` names where the rows came from, without credentials.
    """

    rows: int
    columns: int
    sha256: str
    source: str
    source_sha256: str | None
    path: str
    contract_digest: str


def ingest(
    contract: Contract,
    out: Path,
    *,
    data: Path | str | None = None,
    data_dir: Path,
    allow_download: bool = False,
) -> IngestRecord:
    """Read a contract's source and write one Parquet file with the contract's types.

    Args:
        contract: the contract.
        out: the Parquet file to write; replaced atomically.
        data: another place to read from (file, folder, glob, URL of an object store or database).
            The contract's checksum is for its own file and does not apply to it.
        data_dir: folder that the contract's file names are relative to.
        allow_download: whether a missing file may be fetched from the contract's `url`.

    Returns:
        Rows and columns written, digests, and the place they came from.

    Raises:
        SourceError: the source cannot be read; no file is left at `out`, an older one stays.
    """
    location = locate(contract, data, data_dir, allow_download=allow_download)
    before = file_state(location)
    source_sha256 = verified_sha256(contract, location, pinned=data is None)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as part:
        rows = _write(part, contract, _typed(contract, location))
        if rows == 0:
            raise SourceError(f"{shown(location)}: the table has no rows.")
        if file_state(location) != before:
            raise changed(location)
        if contract.sample is not None:
            rows = _sample(part, contract)
    return IngestRecord(
        rows=rows,
        columns=len(contract.stored_columns),
        sha256=sha256_of(out),
        source=shown(location),
        source_sha256=source_sha256,
        path=str(out),
        contract_digest=contract.digest,
    )


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
    raise missing(contract.name, path, source.publisher, source.url)


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
    wanted = columns_read(contract, with_label=with_label, also=also)
    label_name = label.column if label is not None and label.column in wanted else None
    expected = contract.source_names
    extra = contract.extra_columns if with_label else "ignore"
    match format_of(contract, location):
        case "sklearn":
            assert isinstance(source, SklearnSource)
            return bundled.read_bundled(source, label_name)
        case "sql":
            assert isinstance(source, SqlSource)
            return sql.read_sql(location, source, expected, wanted, extra=extra)
        case "parquet":
            return parquet.read_parquet(location, expected, wanted, extra=extra)
        case "mat":
            variables = source if isinstance(source, MatSource) else MatSource(kind="mat")
            names = [column.name for column in contract.columns]
            return matlab.read_mat(location, variables, names, label_name)
    settings = _csv_settings(contract)
    if not with_label:
        expected = _names_without_label(contract, location, settings, wanted)
    return text.read_csv(location, settings, expected, wanted, extra=extra)


def _csv_settings(contract: Contract) -> CsvSource:
    source = contract.source
    return source if isinstance(source, CsvSource) else CsvSource(kind="csv")


def numbered_slices(
    batch: pa.RecordBatch, first: int, size: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """A batch in slices of at most `size` rows, with the table's row number of the first of each.

    Args:
        batch: rows in the order of the table.
        first: number of the first of them.
        size: most rows of a slice.
    """
    for start in range(0, batch.num_rows, size):
        yield first + start, batch.slice(start, size)


def columns_read(
    contract: Contract, *, with_label: bool = True, also: Sequence[str] = ()
) -> list[str]:
    """The columns that `read_batches` reads, the label last."""
    wanted = [
        column.name
        for column in contract.stored_columns
        if with_label or column.is_feature or column.name in also
    ]
    label = contract.label
    if label is not None and (with_label or label.column in also):
        wanted.append(label.column)
    return wanted


def count_rows(contract: Contract, location: str) -> int | None:
    """Rows of a source where that is known without reading it (Parquet); else None.

    Raises:
        SourceError: there is no readable Parquet file.
    """
    return parquet.parquet_rows(location) if format_of(contract, location) == "parquet" else None


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
    contract: Contract, location: str, settings: CsvSource, wanted: list[str]
) -> tuple[str, ...]:
    if settings.header:
        return tuple(wanted)
    # Without a header only the number of fields can tell whether the label is there.
    names = contract.source_names
    without = tuple(column.name for column in contract.columns)
    return without if len(read_head(location, settings).rows[0]) == len(without) else names


def _typed(contract: Contract, location: str) -> Iterator[pa.Table]:
    first_row = 0
    settings = _csv_settings(contract) if format_of(contract, location) == "csv" else None
    for batch in read_batches(contract, location):
        table = cast_batch(batch, contract, first_row, where=shown(location))
        if settings is not None:
            refuse_swallowed_rows(table, location, settings)
        yield table
        first_row += batch.num_rows


def _write(path: Path, contract: Contract, tables: Iterator[pa.Table]) -> int:
    rows = 0
    with pq.ParquetWriter(path, stored_schema(contract)) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
            rows += table.num_rows
    return rows


def _sample(path: Path, contract: Contract) -> int:
    """Thin one class out, in place of the file written so far."""
    assert contract.sample is not None
    flags = pq.read_table(path, columns=[ANOMALY_COLUMN]).column(0)
    of_class = pc.fill_null(pc.equal(flags, int(contract.sample.of == "anomalous")), False)
    mine = np.flatnonzero(of_class.to_numpy())
    if len(mine) < contract.sample.rows:
        raise SourceError(
            f"{contract.name}: sample.rows is {contract.sample.rows:,}, but there are only "
            f"{len(mine):,} {contract.sample.of} rows."
        )
    kept = np.ones(len(flags), dtype=bool)
    kept[mine] = False
    rng = np.random.default_rng(contract.sample.seed)
    kept[rng.choice(mine, contract.sample.rows, replace=False)] = True
    thinned = path.with_name(path.name + ".sample")
    with removed_on_error(thinned):
        with (
            pq.ParquetFile(path) as file,
            pq.ParquetWriter(thinned, file.schema_arrow) as writer,
        ):
            start = 0
            for batch in file.iter_batches(ROW_GROUP_ROWS):
                mask = pa.array(kept[start : start + batch.num_rows])
                writer.write_table(pa.Table.from_batches([batch]).filter(mask))
                start += batch.num_rows
        thinned.replace(path)
    return int(kept.sum())
