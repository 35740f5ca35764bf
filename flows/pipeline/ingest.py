"""Source to one Parquet file with the contract's columns and types."""

from pathlib import Path

from data_checks.contract.model import Contract, load_contract
from flows.common.errors import UsageError
from flows.stages.records import IngestedTable
from flows.stages.run import TrainRun


def ingest_rows(run: TrainRun) -> IngestedTable:
    """Read the source of a training."""
    return read_source(run.path, run.contract, run.config.data, run.settings.data_dir)


def read_source(
    folder: Path, contract: Contract, data: str | None, data_dir: Path
) -> IngestedTable:
    """Read the source of a contract, or the table given instead of it, into a folder."""
    from data_checks.sources import sources

    done = sources.ingest(contract, folder / "table.parquet", data=data, data_dir=data_dir)
    return IngestedTable(
        path=str(done.path),
        rows=done.rows,
        columns=done.columns,
        sha256=done.sha256,
        source=done.source,
    )


def find_source(dataset: str, data: str | None, data_dir: Path, *, download: bool) -> str:
    """Where a data set's rows are, without reading them; fetches a missing file if allowed.

    Raises:
        ContractError: The contract cannot be read.
        SourceError: The source is not there.
    """
    from data_checks.sources.reading import BUNDLED, locate

    location = locate(load_contract(dataset), data, data_dir, allow_download=download)
    elsewhere = location.startswith(BUNDLED) or "://" in location
    if data is not None and not elsewhere and not any(m in location for m in "*?["):
        path = Path(location)
        if not path.exists():
            raise UsageError(f"--data {data}: no such file")
    return location
