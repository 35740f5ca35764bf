"""A contract as a Great Expectations suite.

Each expectation carries the key of its rule in `meta`, so that its result finds the way back.
Great Expectations takes seconds to import: import this module only where validation runs.
"""

from typing import Any

import great_expectations as gx
import pyarrow as pa
from great_expectations.expectations.registry import get_expectation_impl

from data_checks.contract.columns import FLOAT32_MAX, Severity
from data_checks.contract.model import ANOMALY_COLUMN, Contract
from data_checks.rows.row_rules import RowRule, row_rules
from data_checks.validation.report import EXPECTATIONS

COLUMNS, ROWS, RATIO, HAS_NORMAL = "columns", "rows", "ratio", "has_normal"
"""Keys of the table-level rules; `null_share:COLUMN` is the fifth."""


def build_suite(contract: Contract, schema: pa.Schema) -> Any:
    """Build the suite of a contract.

    Returns:
        A `great_expectations.ExpectationSuite` with table-level expectations first.
    """
    checks = [*table_expectations(contract, schema)]
    checks += [_row_expectation(rule) for rule in row_rules(contract)]
    return gx.ExpectationSuite(
        name=contract.name, expectations=checks, meta={"contract_digest": contract.digest}
    )


def table_expectations(contract: Contract, schema: pa.Schema) -> list[Any]:
    """The expectations on the table as a whole."""
    rules = [rule for rule in row_rules(contract) if rule.kind == "rule"]
    names = [*schema.names, *(derived_name(rule) for rule in rules)]
    rows = contract.rows
    checks = [
        _expectation(
            "expect_table_columns_to_match_ordered_list", COLUMNS, "critical", column_list=names
        ),
        _expectation(
            "expect_table_row_count_to_be_between",
            ROWS,
            rows.severity,
            min_value=rows.minimum,
            max_value=rows.maximum,
        ),
    ]
    if contract.label is not None:
        column = contract.label.column
        text = f"'{column}': at least one row has a normal label"
        flags: dict[str, Any] = {"column": ANOMALY_COLUMN, "min_value": 0, "max_value": 0}
        name = "expect_column_min_to_be_between"
        checks.append(_expectation(name, HAS_NORMAL, "critical", text, **flags))
        if contract.anomaly_ratio is not None:
            low, high = ratio_bounds(contract)
            text = f"'{column}': the share of anomalies is between {low:.4f} and {high:.4f}"
            flags |= {"min_value": low, "max_value": high}
            name = "expect_column_mean_to_be_between"
            checks.append(_expectation(name, RATIO, contract.ratio_severity, text, **flags))
    name = "expect_column_proportion_of_non_null_values_to_be_between"
    for gappy in (column for column in contract.stored_columns if column.nullable):
        limits: dict[str, Any] = {"min_value": 1 - gappy.max_null_share, "max_value": 1.0}
        key = f"null_share:{gappy.name}"
        checks.append(_expectation(name, key, "critical", column=gappy.name, **limits))
    return checks


def ratio_bounds(contract: Contract) -> tuple[float, float]:
    """Smallest and largest allowed share of anomalies."""
    assert contract.anomaly_ratio is not None
    low = contract.anomaly_ratio - contract.ratio_tolerance
    return max(0.0, low), min(1.0, contract.anomaly_ratio + contract.ratio_tolerance)


def table_message(contract: Contract, key: str, observed: Any) -> str:
    """What a broken table-level rule means, in words.

    `observed` is None or NaN where Great Expectations had nothing to observe.
    """
    label = contract.label.column if contract.label else ""
    if key == ROWS:
        most = "any number" if contract.rows.maximum is None else f"{contract.rows.maximum:,}"
        return f"the table has {observed:,} rows, allowed are {contract.rows.minimum:,} to {most}"
    if key == HAS_NORMAL:
        return f"column '{label}': no row has a normal label, so there is nothing to learn from"
    if key == RATIO:
        low, high = ratio_bounds(contract)
        share = "unknown" if observed is None else f"{observed:.4f}"
        return (
            f"column '{label}': the share of anomalies is {share}, allowed [{low:.4f}, {high:.4f}]"
        )
    if key.startswith("null_share:"):
        name = key.partition(":")[2]
        limit = next(c.max_null_share for c in contract.columns if c.name == name)
        return f"column '{name}': {1 - observed:.1%} of the values are missing, allowed {limit:.1%}"
    return f"the columns are {observed}"


def derived_name(rule: RowRule) -> str:
    """Name of the boolean column that tells Great Expectations where a cross-column rule holds.

    Its engines know no such expressions, so the rule is computed first and then expected. A dot
    would name a nested field to Spark.
    """
    return f"rule: {rule.column}".replace(".", " ").replace("`", " ")


def _row_expectation(rule: RowRule) -> Any:
    limits: dict[str, Any] = {"column": rule.column}
    text = None
    match rule.kind:
        case "parsed":
            text = "every value can be read as the type the contract declares"
        case "range":
            limits |= {"min_value": rule.low, "max_value": rule.high}
            if rule.text.startswith("not a finite"):
                text = "values are finite 32-bit numbers"
            elif rule.low == -FLOAT32_MAX or rule.high == FLOAT32_MAX:
                text = f"values lie in {rule.text.removeprefix('outside ')} and are finite"
        case "vocabulary" | "label":
            limits["value_set"] = list(rule.levels)
        case "rule":
            limits = {"column": derived_name(rule), "value_set": [True]}
            text = f"every row satisfies: {rule.check}"
    return _expectation(EXPECTATIONS[rule.kind], rule.key, rule.severity, text, **limits)


def _expectation(
    name: str, key: str, severity: Severity, text: str | None = None, **limits: Any
) -> Any:
    expectation: Any = get_expectation_impl(name)
    return expectation(severity=severity, meta={"rule": key}, description=text, **limits)
