"""`dagmm check`: ingest and validate, nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

from data_checks.contract import load_contract
from flows.records import ValidateRecord
from flows.settings import Settings
from flows.stages.ingest import ingest
from flows.stages.validate import validate


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
    source = hashlib.sha256(f"{contract.digest} {data}".encode()).hexdigest()[:12]
    folder = output or settings.workspace / "checks" / f"{contract.name}-{source}"
    folder.mkdir(parents=True, exist_ok=True)
    return validate(folder, contract, ingest(folder, contract, data, settings.data_dir))
