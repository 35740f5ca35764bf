"""Validation of a Parquet table on Spark: the same two judges, the same verdict.

Tasks give the rows the contract's types, then part them by the row masks with the code of a local
run. Great Expectations judges the typed rows on its Spark engine, in one pass over all of them.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from data_checks.base.atomic import explaining_write_errors, replacing, replacing_folder
from data_checks.base.errors import EngineError, SourceError
from data_checks.contract.model import ANOMALY_COLUMN, Contract
from data_checks.rows.casting import cast_batch, stored_schema
from data_checks.rows.row_rules import broken_rows, row_rules
from data_checks.sources.integrity import file_sha256, shown
from data_checks.spark.plan import Span, plan_tasks, read_task
from data_checks.spark.tasks import run_tasks
from data_checks.validation.quarantine import quarantine_schema, sorting
from data_checks.validation.report import Tally
from data_checks.validation.suites import derived_name

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from data_checks.validation.report import ValidationReport

SLICE_CELLS = 4_000_000
"""Rows times columns that a task holds at a time."""
VALID_FOLDER = "valid"

Numbered = tuple[int, tuple[Span, ...]]


def type_rows(
    contract: Contract, columns: tuple[str, ...], location: str, folder: Path, task: Numbered
) -> dict[str, Any]:
    """Write the rows of a task as one file with the contract's types, and where its rules hold."""
    number, spans = task
    rules = [rule for rule in row_rules(contract) if rule.kind == "rule"]
    schema = stored_schema(contract)
    for rule in rules:
        schema = schema.append(pa.field(derived_name(rule), pa.bool_()))
    if not folder.is_dir():
        raise SourceError(
            f"{folder}: not there; driver and executors must see the output under one name"
        )
    with (
        replacing(_typed_file(folder, number)) as part,
        pq.ParquetWriter(part, schema) as writer,
    ):
        for first, raw in read_task(spans, columns, SLICE_CELLS // len(schema)):
            typed = cast_batch(raw, contract, first, where=shown(location))
            for rule in rules:
                holds = pa.array(~broken_rows(rule, typed, {}))
                typed = typed.append_column(derived_name(rule), holds)
            writer.write_table(typed)
    return {}


def sort_rows(
    contract: Contract, repeated: Mapping[str, Any], folder: Path, number: int
) -> dict[str, Any]:
    """Part valid rows of a typed file from bad ones: the tally, and the digest of the valid."""
    schema, rules = stored_schema(contract), row_rules(contract)
    valid, quarantine = _sorted_files(folder, number)
    with (
        pq.ParquetFile(_typed_file(folder, number)) as file,
        explaining_write_errors(folder),
        sorting(valid, quarantine, schema, rules) as sorter,
    ):
        for batch in file.iter_batches(SLICE_CELLS // len(schema), columns=schema.names):
            rows = pa.Table.from_batches([batch])
            masks = {rule.key: broken_rows(rule, rows, repeated) for rule in rules}
            sorter.add(rows, masks)
    return {"tally": sorter.tally, "sha256": file_sha256(valid)}


def validate_on_spark(
    spark: SparkSession,
    contract: Contract,
    location: str,
    out_dir: Path,
    *,
    tell: Callable[[int, int], None],
) -> ValidationReport:
    """Check a table against its contract, as `validation.validate` does.

    Args:
        spark: the session.
        contract: the contract.
        location: from `data_checks.sources.reading.locate`; Parquet.
        out_dir: gets `valid/` (Parquet files in the order of the rows), `quarantine.parquet`,
            `result.json` and `data_docs/`; the executors must see it, too.
        tell: is told how many of how many tasks are done.

    Raises:
        EngineError: what the contract asks for cannot be done on Spark.
        SourceError: the source cannot be read, or changed while it was read.
        ValidationDisagreementError: Great Expectations counted otherwise than the row masks.
    """
    from data_checks.validation.checkpoints import SuiteRunner, merge
    from data_checks.validation.suites import build_suite
    from data_checks.validation.validation import QUARANTINE, conclude, unique_columns

    _refuse_what_spark_cannot(contract)
    plan = plan_tasks(contract, location, spark.sparkContext.defaultParallelism)
    if not plan.tasks:
        raise SourceError(f"{shown(location)}: the table has no rows.")
    schema, rules = stored_schema(contract), row_rules(contract)
    tasks: list[Numbered] = list(enumerate(plan.tasks))
    with _scratch(out_dir) as scratch:
        work = partial(type_rows, contract, plan.columns, location, scratch)
        run_tasks(spark, tasks, work, tell)
        plan.check_unchanged()
        typed = spark.read.parquet(*(_typed_file(scratch, number).as_uri() for number, _ in tasks))
        repeated = {name: _repeated(typed, name) for name in unique_columns(rules)}
        sort = partial(sort_rows, contract, repeated, scratch)
        answers = run_tasks(spark, [number for number, _ in tasks], sort, tell)
        tally = Tally()
        for answer in answers:
            tally.add(answer["tally"])
        runner = SuiteRunner(build_suite(contract, schema), contract.name, spark=True)
        judged = runner.run(_known_types(typed), tally.rows, tally.labelled)
        _publish(scratch, len(tasks), out_dir, out_dir / QUARANTINE, schema, tally)
    digests = "".join(answer["sha256"] for answer in answers)
    result, valid = merge([judged], contract.name, {}), out_dir / VALID_FOLDER
    sha256 = hashlib.sha256(digests.encode()).hexdigest()
    return conclude(contract, tally, result, out_dir, valid, sha256)


def _refuse_what_spark_cannot(contract: Contract) -> None:
    if contract.sample is not None:
        raise EngineError(
            f"{contract.name}: `sample` draws from the table as a whole, which the engine spark "
            "does not hold; use the engine local."
        )
    names = [name for name in stored_schema(contract).names if "." in name or "`" in name]
    if names:
        raise EngineError(
            f"{contract.name}: column '{names[0]}': to Great Expectations on Spark a dot or a "
            "backtick is not allowed in a name; rename the column, or use the engine local."
        )


def _known_types(typed: Any) -> Any:
    """The rows as Great Expectations takes them: it computes no mean of bytes."""
    if ANOMALY_COLUMN not in typed.columns:
        return typed
    return typed.withColumn(ANOMALY_COLUMN, typed[ANOMALY_COLUMN].cast("int"))


def _repeated(typed: Any, column: str) -> pa.Array:
    """The values that occur more than once; text is compared byte by byte, as Arrow does."""
    counts = typed.groupBy(column).count().where(f"count > 1 and `{column}` is not null")
    return pa.array([row[0] for row in counts.select(column).collect()], pa.string())


def _publish(
    scratch: Path, tasks: int, out_dir: Path, quarantine: Path, schema: pa.Schema, tally: Tally
) -> None:
    files = [_sorted_files(scratch, number) for number in range(tasks)]
    if tally.quarantined:
        with (
            replacing(quarantine) as whole,
            pq.ParquetWriter(whole, quarantine_schema(schema)) as writer,
        ):
            for _, bad in files:
                if bad.exists():
                    writer.write_table(pq.read_table(bad))
    else:
        quarantine.unlink(missing_ok=True)
    with replacing_folder(out_dir / VALID_FOLDER) as folder:
        for number, (good, _) in enumerate(files):
            good.rename(folder / f"part-{number:06d}.parquet")


@contextmanager
def _scratch(out_dir: Path) -> Iterator[Path]:
    """A folder for what the tasks write, beside the result and on its disk."""
    folder = out_dir.resolve() / f".spark-{uuid4().hex[:8]}"
    with explaining_write_errors(out_dir):
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _typed_file(folder: Path, number: int) -> Path:
    return folder / f"typed-{number:06d}.parquet"


def _sorted_files(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / f"valid-{number:06d}.parquet", folder / f"bad-{number:06d}.parquet"
