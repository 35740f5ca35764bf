"""The table against its contract: a verdict, the valid rows, the quarantine and Data Docs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from data_checks.contract.model import Contract
from flows.services import helper
from flows.stages.records import IngestedTable, RuleFailure, ValidateRecord
from flows.stages.run import TrainRun

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from data_checks.validation.report import ValidationReport


def validate_rows(run: TrainRun, ingested: IngestedTable) -> ValidateRecord:
    """Check the rows of a training, in the process that has loaded what this takes, if any."""
    return helper.run_in_helper(check_table, run.path, run.contract, ingested)


def check_table(folder: Path, contract: Contract, ingested: IngestedTable) -> ValidateRecord:
    """Run the contract's expectation suite; writes everything it finds into `folder`."""
    from data_checks.validation.validation import validate

    table = Path(ingested.path)
    return record_of(validate(table, contract, folder, expected_sha256=ingested.sha256))


def record_of(report: ValidationReport) -> ValidateRecord:
    """A report as the record that travels between stages."""
    return ValidateRecord(
        passed=report.passed,
        message=report.message,
        rows_in=report.rows_in,
        rows_valid=report.rows_valid,
        rows_quarantined=report.rows_quarantined,
        failures=tuple(
            RuleFailure.model_validate(failure, from_attributes=True) for failure in report.failures
        ),
        path=str(report.valid_path),
        sha256=report.valid_sha256,
        quarantine=report.quarantine_path and str(report.quarantine_path),
        data_docs=report.data_docs and str(report.data_docs),
        result=str(report.result_json),
    )


def log_validation(client: MlflowClient, run_id: str, record: ValidateRecord) -> None:
    """Show the result, the quarantine and the Data Docs in the MLflow run."""
    client.log_artifact(run_id, record.result, "data_checks")
    if record.quarantine:
        client.log_artifact(run_id, record.quarantine, "data_checks")
    if record.data_docs:
        client.log_artifacts(run_id, str(Path(record.data_docs).parent), "data_checks/data_docs")
