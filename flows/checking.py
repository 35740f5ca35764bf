"""`dagmm contract` and `dagmm check`: a table described, and held to its description."""

from __future__ import annotations

import hashlib
from pathlib import Path

from data_checks.contract import load_contract
from flows.errors import UsageError
from flows.policy import PromotionPolicy, contract_policy
from flows.records import ValidateRecord
from flows.settings import Settings
from flows.stages.ingest import ingest
from flows.stages.validate import validate
from flows.workspace import write_atomic


def check(
    dataset: str, data: str | None, output: Path | None, settings: Settings
) -> ValidateRecord:
    """Validate a table against its contract.

    Args:
        dataset: Contract name or path.
        data: Table to read instead of the contract's source.
        output: Folder for the valid rows, the quarantine and the Data Docs; one folder for each
            contract and source in the workspace unless given.
        settings: Data folder and workspace.
    """
    contract = load_contract(dataset)
    contract_policy(contract.promotion, PromotionPolicy(), contract.name)
    source = hashlib.sha256(f"{contract.digest} {data}".encode()).hexdigest()[:12]
    folder = output or settings.workspace / "checks" / f"{contract.name}-{source}"
    folder.mkdir(parents=True, exist_ok=True)
    return validate(folder, contract, ingest(folder, contract, data, settings.data_dir))


def draft(table: str, label: str | None, output: Path | None) -> tuple[Path, list[str]]:
    """Write a commented contract that the table passes, and say what deserves a second look.

    Args:
        table: Table to profile.
        label: Column that says which rows are anomalous.
        output: Contract file; the table's name with `.yaml`, in the current folder, unless given.

    Raises:
        UsageError: The contract file exists already.
        SourceError: The table cannot be read, or has no such column.
    """
    from data_checks.drafting import draft_contract

    path = output or Path(f"{Path(table).name.partition('.')[0] or 'table'}.yaml")
    if path.exists():
        raise UsageError(f"{path} exists already; remove it, or name another file with --output")
    drafted = draft_contract(table, label=label)
    write_atomic(path, drafted.text)
    return path, list(drafted.remarks)
