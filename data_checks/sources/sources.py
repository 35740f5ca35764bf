"""From any source to one typed Parquet file.

`ingest` streams the source through the contract's types and writes Parquet next to its final
place, then renames: a reader sees the whole table or none.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_checks.base.atomic import replacing
from data_checks.base.errors import SourceError
from data_checks.contract.columns import ContractPart
from data_checks.contract.model import ANOMALY_COLUMN, Contract
from data_checks.rows.casting import cast_batch, stored_schema
from data_checks.sources.integrity import (
    changed,
    file_sha256,
    file_state,
    refuse_swallowed_rows,
    shown,
    verified_sha256,
)
from data_checks.sources.reading import csv_settings, format_of, locate, read_batches

ROW_GROUP_ROWS = 131_072


class IngestRecord(ContractPart):
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
        rows = 0
        with pq.ParquetWriter(part, stored_schema(contract)) as writer:
            for table in _typed(contract, location):
                writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
                rows += table.num_rows
        if rows == 0:
            raise SourceError(f"{shown(location)}: the table has no rows.")
        if file_state(location) != before:
            raise changed(location)
        if contract.sample is not None:
            rows = _sample(part, contract)
    return IngestRecord(
        rows=rows,
        columns=len(contract.stored_columns),
        sha256=file_sha256(out),
        source=shown(location),
        source_sha256=source_sha256,
        path=str(out),
        contract_digest=contract.digest,
    )


def _typed(contract: Contract, location: str) -> Iterator[pa.Table]:
    first_row = 0
    settings = csv_settings(contract) if format_of(contract, location) == "csv" else None
    for batch in read_batches(contract, location):
        table = cast_batch(batch, contract, first_row, where=shown(location))
        if settings is not None:
            refuse_swallowed_rows(table, location, settings)
        yield table
        first_row += batch.num_rows


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
    try:
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
    finally:
        thinned.unlink(missing_ok=True)
    return int(kept.sum())
