"""Source to one Parquet file with the contract's columns and types."""

from __future__ import annotations

from pathlib import Path

from data_checks.contract import Contract
from flows.records import IngestRecord


def ingest(folder: Path, contract: Contract, data: str | None, data_dir: Path) -> IngestRecord:
    """Read the source of a contract, or the table given instead of it."""
    from data_checks import sources

    done = sources.ingest(contract, folder / "table.parquet", data=data, data_dir=data_dir)
    return IngestRecord(
        path=str(done.path),
        rows=done.rows,
        columns=done.columns,
        sha256=done.sha256,
        source=done.source,
    )
