"""Running a Great Expectations Checkpoint batch by batch, and adding the verdicts up.

A table that does not fit into memory is checked in batches; counts add up, extremes and means
combine, and the result is the same as that of one pass (uniqueness excepted, which no batch can
judge alone: its count comes from the whole table).
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import great_expectations as gx
from great_expectations.core.expectation_validation_result import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import ProgressBarsConfig

SHOWN_VALUES = 20


@dataclass(frozen=True)
class BatchResult:
    """One batch's verdict, with the weights that means are combined by."""

    rows: int
    labelled_rows: int
    results: tuple[ExpectationValidationResult, ...]
    meta: Mapping[str, Any]


class SuiteRunner:
    """One suite in one ephemeral context, run on as many batches as the table has."""

    def __init__(self, suite: Any, name: str, *, spark: bool = False) -> None:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        sources = context.data_sources
        source = sources.add_spark(name) if spark else sources.add_pandas(name)
        asset = source.add_dataframe_asset("rows")
        batches = asset.add_batch_definition_whole_dataframe("batch")
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(name=name, data=batches, suite=context.suites.add(suite))
        )
        shown: Any = {"result_format": "BASIC", "partial_unexpected_count": SHOWN_VALUES}
        self._checkpoint = context.checkpoints.add(
            gx.Checkpoint(name=name, validation_definitions=[definition], result_format=shown)
        )

    def run(self, frame: Any, rows: int, labelled_rows: int) -> BatchResult:
        """Check one batch.

        Args:
            frame: (n rows) as the suite expects them, of pandas or of Spark.
            rows: n.
            labelled_rows: rows with a known label.

        Raises:
            RuntimeError: Great Expectations could not evaluate an expectation.
        """
        outcome = self._checkpoint.run(batch_parameters={"dataframe": frame})
        [result] = outcome.run_results.values()
        for item in result.results:
            _raise_if_broken(item)
        return BatchResult(rows, labelled_rows, tuple(result.results), dict(result.meta))


def merge(
    batches: list[BatchResult], suite_name: str, unique_counts: Mapping[str, int]
) -> ExpectationSuiteValidationResult:
    """Add the verdicts of all batches up to one.

    Args:
        batches: at least one.
        suite_name: name of the suite.
        unique_counts: for each uniqueness rule's key, the rows that break it in the whole table.
    """
    columns = zip(*(batch.results for batch in batches), strict=True)
    weights = [(batch.rows, batch.labelled_rows) for batch in batches]
    results = [_merge_one(list(items), weights, unique_counts) for items in columns]
    passed = sum(bool(item.success) for item in results)
    run_id = RunIdentifier(run_name=suite_name, run_time=dt.datetime.now(dt.UTC))
    meta = {
        **batches[0].meta,
        "run_id": run_id,
        "validation_time": run_id.run_time,
        "batches": len(batches),
    }
    return ExpectationSuiteValidationResult(
        success=passed == len(results),
        results=results,
        suite_name=suite_name,
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": passed,
            "unsuccessful_expectations": len(results) - passed,
            "success_percent": 100.0 * passed / len(results),
        },
        meta=meta,
        batch_id="rows",
    )


def _merge_one(
    items: list[ExpectationValidationResult],
    weights: list[tuple[int, int]],
    unique_counts: Mapping[str, int],
) -> ExpectationValidationResult:
    config = items[0].expectation_config
    assert config is not None
    key = config.meta["rule"]
    if len(items) == 1:
        return items[0]
    if "unexpected_count" in items[0].result:
        result = _sum_counts([item.result for item in items])
        if key in unique_counts:
            result = _with_count(result, unique_counts[key])
        success = result["unexpected_count"] == 0
    else:
        observed = [item.result.get("observed_value") for item in items]
        success, value = _combine(config.type, config.kwargs, observed, weights)
        result = {"observed_value": value}
        if config.type == "expect_table_columns_to_match_ordered_list":
            success = all(bool(item.success) for item in items)
    return ExpectationValidationResult(
        success=success, expectation_config=config, result=result, meta=dict(items[0].meta)
    )


def _sum_counts(results: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {
        name: sum(int(result.get(name) or 0) for result in results)
        for name in ("element_count", "missing_count", "unexpected_count")
    }
    shown = [value for result in results for value in result.get("partial_unexpected_list", [])]
    total["partial_unexpected_list"] = shown[:SHOWN_VALUES]
    return _with_count(total, total["unexpected_count"])


def _with_count(result: dict[str, Any], unexpected: int) -> dict[str, Any]:
    elements, missing = result["element_count"], result["missing_count"]
    present = elements - missing
    percent = 100.0 * unexpected / elements if elements else 0.0
    return {
        **result,
        "unexpected_count": unexpected,
        "unexpected_percent": 100.0 * unexpected / present if present else 0.0,
        "missing_percent": 100.0 * missing / elements if elements else 0.0,
        "unexpected_percent_total": percent,
        "unexpected_percent_nonmissing": 100.0 * unexpected / present if present else 0.0,
    }


def _combine(
    kind: str, limits: Mapping[str, Any], observed: list[Any], weights: list[tuple[int, int]]
) -> tuple[bool, Any]:
    if kind == "expect_table_columns_to_match_ordered_list":
        return True, observed[0]
    # A batch without any value observes None or NaN and has no say.
    pairs = [
        (float(value), rows, labelled)
        for value, (rows, labelled) in zip(observed, weights, strict=True)
        if value is not None and value == value
    ]
    match kind:
        case "expect_table_row_count_to_be_between":
            value: float | None = int(sum(value for value, _, _ in pairs))
        case "expect_column_min_to_be_between":
            value = min((value for value, _, _ in pairs), default=None)
        case "expect_column_mean_to_be_between":
            value = _mean([(value, labelled) for value, _, labelled in pairs])
        case "expect_column_proportion_of_non_null_values_to_be_between":
            value = _mean([(value, rows) for value, rows, _ in pairs])
        case _:
            raise RuntimeError(f"no way to add up the verdicts of {kind}")
    low, high = limits.get("min_value"), limits.get("max_value")
    inside = value is not None and (low is None or value >= low) and (high is None or value <= high)
    return inside, value


def _mean(pairs: list[tuple[float, int]]) -> float | None:
    total = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / total if total else None


def _raise_if_broken(item: ExpectationValidationResult) -> None:
    # exception_info is one record, or one per metric, depending on where it happened.
    info = item.exception_info or {}
    records = [info] if "raised_exception" in info else list(info.values())
    for record in records:
        if record.get("raised_exception"):
            config = item.expectation_config
            kind = config.type if config else "an expectation"
            raise RuntimeError(f"{kind} could not be evaluated: {record.get('exception_message')}")
