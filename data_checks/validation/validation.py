"""Validation: run the contract's suite, part valid rows from bad ones, say why.

The table is read in batches. For each, the row masks decide which rows are valid, a Great
Expectations Checkpoint judges the same rows, and at the end both must have counted alike.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult

from data_checks.base.atomic import explaining_write_errors, replacing
from data_checks.base.errors import SourceError, ValidationDisagreementError
from data_checks.contract.model import Contract
from data_checks.rows.casting import stored_schema
from data_checks.rows.row_rules import RowRule, broken_rows, label_counts, row_rules
from data_checks.sources.integrity import file_sha256
from data_checks.validation.checkpoints import BatchResult, SuiteRunner, merge
from data_checks.validation.docs_pages import write_page
from data_checks.validation.quarantine import repeated_values, sorting
from data_checks.validation.report import RuleResult, Tally, ValidationReport, verdict
from data_checks.validation.suites import build_suite, derived_name, table_message

VALID, QUARANTINE = "valid.parquet", "quarantine.parquet"
BATCH_CELLS = 12_000_000
"""Rows times columns held in memory at once: about 100 MB of numbers, some copies of them."""


def validate(
    table: Path,
    contract: Contract,
    out_dir: Path,
    *,
    expected_sha256: str | None = None,
    batch_rows: int | None = None,
    data_docs: bool = True,
) -> ValidationReport:
    """Check an ingested table against its contract.

    Args:
        table: Parquet file written by `sources.ingest` with this contract.
        contract: the contract.
        out_dir: gets `valid.parquet`, `quarantine.parquet` (when there are bad rows; its column
            `reasons` lists all of each row's), `result.json` and `data_docs/`.
        expected_sha256: the table's digest when it was ingested.
        batch_rows: rows per batch; by default as many as fit `BATCH_CELLS`.
        data_docs: whether to write the Data Docs site.

    Returns:
        The report. It says `passed=False` when a critical table-level rule failed, when more rows
        than `max_quarantine_share` are bad, or when no valid row is left.

    Raises:
        SourceError: the table is not one that `ingest` wrote, or it changed since.
        ValidationDisagreementError: Great Expectations counted otherwise than the row masks.
    """
    schema = _checked_schema(table, contract, expected_sha256)
    batch_rows = batch_rows or max(1, BATCH_CELLS // len(schema))
    rules = row_rules(contract)
    repeated = {column: repeated_values(table, column) for column in unique_columns(rules)}
    runner = SuiteRunner(build_suite(contract, schema), contract.name)
    out_dir.mkdir(parents=True, exist_ok=True)
    batches: list[BatchResult] = []
    valid = out_dir / VALID
    with (
        explaining_write_errors(out_dir),
        sorting(valid, out_dir / QUARANTINE, schema, rules) as sorter,
    ):
        for batch in _batches(table, batch_rows):
            masks = {rule.key: broken_rows(rule, batch, repeated) for rule in rules}
            sorter.add(batch, masks)
            frame = _frame(batch, rules, masks)
            batches.append(runner.run(frame, len(frame), label_counts(batch)[0]))
    tally = sorter.tally
    unique = {rule.key: tally.broken.get(rule.key, 0) for rule in rules if rule.kind == "unique"}
    result = merge(batches, contract.name, unique)
    digest = file_sha256(valid)
    return conclude(contract, tally, result, out_dir, valid, digest, data_docs=data_docs)


def unique_columns(rules: tuple[RowRule, ...]) -> list[str]:
    """The columns no value of which may occur twice."""
    return [rule.column for rule in rules if rule.kind == "unique"]


def conclude(
    contract: Contract,
    tally: Tally,
    result: ExpectationSuiteValidationResult,
    out_dir: Path,
    valid: Path,
    valid_sha256: str,
    *,
    data_docs: bool = True,
) -> ValidationReport:
    """Compare the two judges, pronounce the verdict, and write result and Data Docs.

    `valid` is a file or a folder of rows in `out_dir`, where the rest goes, too.

    Raises:
        ValidationDisagreementError: they counted differently.
    """
    rules = row_rules(contract)
    _check_agreement(result, tally, rules)
    failures = tally.failures(rules) + _table_failures(result, contract)
    passed, message = verdict(contract, tally.rows, tally.quarantined, failures)
    docs = out_dir / "data_docs" / "index.html"
    report = ValidationReport(
        contract=contract.name,
        contract_digest=contract.digest,
        rows_in=tally.rows,
        rows_valid=tally.rows - tally.quarantined,
        rows_quarantined=tally.quarantined,
        rows_anomalous=tally.anomalous if contract.label is not None else None,
        passed=passed,
        message=message,
        expectations=len(result.results),
        failures=tuple(failures),
        valid_path=str(valid),
        valid_sha256=valid_sha256,
        quarantine_path=str(out_dir / QUARANTINE) if tally.quarantined else None,
        data_docs=str(docs) if data_docs else None,
        result_json=str(out_dir / "result.json"),
    )
    _write_result(Path(report.result_json), result, report)
    if data_docs:
        with explaining_write_errors(docs.parent):
            write_page(docs, result, contract, report)
    return report


def _checked_schema(table: Path, contract: Contract, expected_sha256: str | None) -> pa.Schema:
    try:
        if expected_sha256 is not None and file_sha256(table) != expected_sha256:
            raise SourceError(f"{table}: the file changed since it was ingested; ingest it again.")
        schema = pq.read_schema(table)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{table}: not a readable Parquet file: {error}.") from error
    wanted = stored_schema(contract)
    if not schema.equals(wanted):
        different = next(
            (
                f"column '{field.name}' should be {field.type}"
                for field in wanted
                if field.name not in schema.names or schema.field(field.name).type != field.type
            ),
            "its columns are in another order",
        )
        raise SourceError(f"{table}: not ingested with the contract {contract.name}: {different}.")
    return wanted


def _batches(table: Path, batch_rows: int) -> Iterator[pa.Table]:
    with pq.ParquetFile(table) as file:
        empty = True
        for batch in file.iter_batches(batch_rows):
            empty = False
            yield pa.Table.from_batches([batch])
        if empty:
            yield file.schema_arrow.empty_table()


def _frame(batch: pa.Table, rules: tuple[RowRule, ...], masks: dict[str, Any]) -> pd.DataFrame:
    # split_blocks: one array per column, so that Arrow's memory is used where it can be.
    frame: pd.DataFrame = batch.to_pandas(split_blocks=True)
    for rule in rules:
        if rule.kind == "rule":
            frame[derived_name(rule)] = ~masks[rule.key]
    return frame


def _check_agreement(result: Any, tally: Tally, rules: tuple[RowRule, ...]) -> None:
    keys = {rule.key for rule in rules}
    for item in result.results:
        key = item.expectation_config.meta["rule"]
        if key not in keys:
            continue
        theirs, counted = int(item.result["unexpected_count"]), tally.broken.get(key, 0)
        if theirs != counted:
            raise ValidationDisagreementError(
                f"rule {key}: Great Expectations counts {theirs} rows, the row masks {counted}"
            )


def _table_failures(result: Any, contract: Contract) -> list[RuleResult]:
    failures = []
    for item in result.results:
        config = item.expectation_config
        if item.success or "unexpected_count" in item.result:
            continue
        key = config.meta["rule"]
        failures.append(
            RuleResult(
                rule=key,
                expectation=config.type,
                column=config.kwargs.get("column"),
                severity=config.severity.value,
                table_level=True,
                unexpected=1,
                message=table_message(contract, key, item.result.get("observed_value")),
            )
        )
    return failures


def _write_result(path: Path, result: Any, report: ValidationReport) -> None:
    content = {
        "report": report.model_dump(mode="json"),
        "great_expectations": result.to_json_dict(),
    }
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=1, default=str), encoding="utf-8")
