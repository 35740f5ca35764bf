"""From any source to one typed Parquet file.

`ingest` streams the source through the contract's types and writes Parquet next to its final
place, then renames: a reader sees the whole table or none.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_checks.casting import cast_batch, stored_schema
from data_checks.columns import Frozen
from data_checks.contract import ANOMALY_COLUMN, ROW_ID, UNPARSED_COLUMN, Contract
from data_checks.downloads import download
from data_checks.errors import ChecksumError, SourceError
from data_checks.locations import inside, missing
from data_checks.readers import bundled, matlab, parquet, sql, text
from data_checks.readers.opening import is_url, open_url
from data_checks.source_settings import (
    MISSING_MARKERS,
    CsvSource,
    FileSource,
    MatSource,
    ParquetSource,
    SqlSource,
)

ROW_GROUP_ROWS = 131_072


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
        data: another place to read from (file, folder, glob, fsspec URL, SQLAlchemy URL). The
            contract's checksum is for its own file and does not apply to it.
        data_dir: folder that the contract's file names are relative to.
        allow_download: whether a missing file may be fetched from the contract's `url`.

    Returns:
        Rows and columns written, digests, and the place they came from.

    Raises:
        SourceError: the source cannot be read; no file is left at `out`, an older one stays.
    """
    location = locate(contract, data, data_dir, allow_download=allow_download)
    before = _state(location)
    source_sha256 = _verified_sha256(contract, location, pinned=data is None)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _replacing(out) as part:
        rows = _write(part, contract, _typed(contract, location))
        if rows == 0:
            raise SourceError(f"{_shown(location)}: the table has no rows.")
        if _state(location) != before:
            raise SourceError(
                f"{_shown(location)}: the file changed while it was being read; try again when "
                "nobody writes to it."
            )
        if contract.sample is not None:
            rows = _sample(part, contract)
    return IngestRecord(
        rows=rows,
        columns=len(contract.stored_columns),
        sha256=sha256_of(out),
        source=_shown(location),
        source_sha256=source_sha256,
        path=str(out),
        contract_digest=contract.digest,
    )


def locate(
    contract: Contract, data: Path | str | None, data_dir: Path, *, allow_download: bool = False
) -> str:
    """Where the rows are: a path, an fsspec URL, a SQLAlchemy URL, or `sklearn:NAME`.

    Raises:
        MissingDataError: the file is not there.
        SourceError: the path leaves the data folder, or a URL holds a password.
    """
    source = contract.source
    if isinstance(source, SqlSource):
        return sql.database_url(source, None if data is None else str(data))
    if data is not None:
        return str(data)
    if not isinstance(source, FileSource):
        return f"sklearn:{source.dataset}"
    if source.file is None:
        raise SourceError(
            f"{contract.name}: the contract names no file; give one with --data or set source.file."
        )
    if is_url(source.file):
        return source.file
    path = inside(data_dir, source.file) if source.confined else data_dir / source.file
    if path.exists() or any(mark in source.file for mark in "*?["):
        return str(path)
    if allow_download and source.url and source.sha256:
        return str(download(source.url, path, source.sha256))
    raise missing(contract.name, path, source.publisher, source.url)


def read_batches(
    contract: Contract, location: str, *, with_label: bool = True
) -> Iterator[pa.RecordBatch]:
    """Raw batches of a source, as its reader found them, with the columns the contract keeps.

    Args:
        contract: the contract.
        location: from `locate`.
        with_label: whether the label column must be there.

    Raises:
        SourceError: the source cannot be read.
    """
    source, label = contract.source, contract.label
    wanted = [column.name for column in contract.stored_columns]
    if with_label and label is not None and label.column not in wanted:
        wanted.append(label.column)
    label_name = label.column if with_label and label is not None else None
    expected, extra = contract.source_names, contract.extra_columns
    if location.startswith("sklearn:") and source.kind == "sklearn":
        return bundled.read_bundled(source, label_name)
    if isinstance(source, SqlSource):
        return sql.read_sql(location, source, expected, wanted, extra=extra)
    return _read_file(source, location, contract, wanted, label_name)


def _read_file(
    source: Any, location: str, contract: Contract, wanted: list[str], label: str | None
) -> Iterator[pa.RecordBatch]:
    ending = location.lower()
    expected, extra = contract.source_names, contract.extra_columns
    if ending.endswith((".parquet", ".pq")) or isinstance(source, ParquetSource):
        return parquet.read_parquet(location, expected, wanted, extra=extra)
    if ending.endswith(".mat"):
        variables = source if isinstance(source, MatSource) else MatSource(kind="mat")
        return matlab.read_mat(location, variables, [c.name for c in contract.columns], label)
    settings = source if isinstance(source, CsvSource) else CsvSource(kind="csv")
    # Without the label wanted, a file that lacks its column is complete.
    if label is None and contract.label is not None:
        without = tuple(name for name in expected if name != contract.label.column)
        if settings.header:
            expected, extra = without, "ignore"
        elif len(text.read_head(location, settings)[0]) == len(without):
            expected = without
    return text.read_csv(location, settings, expected, wanted, extra=extra)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _typed(contract: Contract, location: str) -> Iterator[pa.Table]:
    source = contract.source
    markers = source.missing if isinstance(source, CsvSource) else MISSING_MARKERS
    first_row = 0
    delimited = isinstance(source, CsvSource)
    for batch in read_batches(contract, location):
        table = cast_batch(batch, contract, first_row, missing=markers, where=_shown(location))
        if delimited:
            _refuse_line_breaks(table, location)
        yield table
        first_row += batch.num_rows


def _refuse_line_breaks(table: pa.Table, location: str) -> None:
    """A quote that is never closed swallows whole rows into one value; nothing else would tell."""
    for name in table.column_names:
        column = table.column(name)
        if not pa.types.is_string(column.type):
            continue
        # Unreadable values are kept as JSON, where a line break is written as an escape.
        mark = "\\n" if name == UNPARSED_COLUMN else "\n"
        found = np.flatnonzero(pc.fill_null(pc.match_substring(column, mark), False).to_numpy())
        if len(found):
            row = table.column(ROW_ID)[int(found[0])].as_py()
            where = "a value" if name == UNPARSED_COLUMN else f"column '{name}'"
            raise SourceError(
                f"{_shown(location)}, row {row} (counted from 0): {where} runs over several lines: "
                "probably a quote that is never closed."
            )


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
    with _removed_on_error(thinned):
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


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Yield a temporary path beside `out`; rename it on success, remove it on any error."""
    part = out.with_name(f".{out.name}.{uuid4().hex[:8]}.part")
    with _removed_on_error(part):
        try:
            yield part
            part.replace(out)
        except OSError as error:
            if isinstance(error, FileNotFoundError) or error.errno not in (
                errno.ENOSPC,
                errno.EDQUOT,
                errno.EFBIG,
                errno.EACCES,
                errno.EROFS,
            ):
                raise
            raise SourceError(f"{out}: cannot be written: {os.strerror(error.errno)}.") from error


@contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(FileNotFoundError):
            path.unlink()
        raise


def _verified_sha256(contract: Contract, location: str, *, pinned: bool) -> str | None:
    """Digest of the source file; None for what is not one file."""
    source = contract.source
    expected = source.sha256 if pinned and isinstance(source, FileSource) else None
    single = isinstance(source, FileSource) and not location.startswith("sklearn:")
    if single and is_url(location):
        # A remote file is read twice only when its content has to be verified.
        found = _digest_of_url(location) if expected else None
    elif single and Path(location).is_file():
        try:
            found = sha256_of(Path(location))
        except OSError as error:
            raise SourceError(f"{location}: cannot be read: {error.strerror}.") from error
    else:
        found = None
    if expected is not None and found is None:
        raise ChecksumError(
            f"{location}: source.sha256 pins the content of one file; this is not one."
        )
    if expected is not None and found != expected:
        raise ChecksumError(
            f"{_shown(location)}: not the file that the contract pins: sha256 is {found}, expected "
            f"{expected}. Get it again from {source.publisher or 'its publisher'}."
        )
    return found


def _digest_of_url(url: str) -> str:
    digest = hashlib.sha256()
    with open_url(url) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _state(location: str) -> tuple[int, int, int] | None:
    """Identity, size and time of change of a local file; None for anything else."""
    if location.startswith("sklearn:") or is_url(location):
        return None
    try:
        state = os.stat(location)  # noqa: PTH116
    except OSError:
        return None
    return (state.st_ino, state.st_size, state.st_mtime_ns)


def _shown(location: str) -> str:
    return sql.safe_name(location) if is_url(location) else location
