"""`dagmm contract` and `dagmm check`: a table described, and held to its description."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from data_checks.contract.model import load_contract
from data_checks.sources.integrity import verified_sha256
from data_checks.sources.reading import locate
from flows.common import progress
from flows.common.errors import UsageError
from flows.common.policy import PromotionPolicy, contract_policy
from flows.common.settings import NO_SETTINGS, Engine, Settings
from flows.pipeline.ingest import read_source
from flows.pipeline.validate import check_table, record_of
from flows.stages.records import ValidateRecord
from flows.stages.workspace import write_atomic


def check(
    dataset: str,
    data: str | None,
    output: Path | None,
    settings: Settings,
    *,
    engine: Engine = "local",
    spark: Mapping[str, str] = NO_SETTINGS,
) -> ValidateRecord:
    """Validate a table against its contract.

    `output` gets what is found; a folder for each contract and source in the workspace unless
    given.
    """
    contract = load_contract(dataset)
    contract_policy(contract.promotion, PromotionPolicy(), contract.name)
    source = hashlib.sha256(f"{contract.digest} {data}".encode()).hexdigest()[:12]
    folder = (output or settings.workspace / "checks" / f"{contract.name}-{source}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if engine == "local":
        return check_table(folder, contract, read_source(folder, contract, data, settings.data_dir))
    from data_checks.spark.session import spark_session
    from data_checks.spark.validation import validate_on_spark

    location = locate(contract, data, settings.data_dir)
    verified_sha256(contract, location, pinned=data is None)
    with (
        spark_session(settings.spark(spark), ("data_checks",), log=settings.spark_log) as session,
        progress.bar("tasks") as show,
    ):
        report = validate_on_spark(
            session, contract, location, folder, tell=lambda done, all_: show(done, all_, "")
        )
    return record_of(report)


def draft(table: str, label: str | None, output: Path | None) -> tuple[Path, list[str]]:
    """Write a commented contract that the table passes, and say what deserves a second look.

    `output` is the file; that of the table with `.yaml`, in the current folder, unless given.

    Raises:
        UsageError: The contract file exists already.
        SourceError: The table cannot be read, or has no such column.
    """
    from data_checks.drafting.drafting import draft_contract

    path = output or Path(f"{Path(table).name.partition('.')[0] or 'table'}.yaml")
    if path.exists():
        raise UsageError(f"{path} exists already; remove it, or name another file with --output")
    drafted = draft_contract(table, label=label)
    write_atomic(path, drafted.text)
    return path, list(drafted.remarks)
