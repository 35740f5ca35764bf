"""What a contract asks of every single row, and which rows break it.

These masks decide what goes to quarantine. Great Expectations counts the same rules on its own;
validation compares the two.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_checks.base.errors import ContractError
from data_checks.contract.columns import FLOAT32_MAX, Column, Severity
from data_checks.contract.expressions import holds
from data_checks.contract.model import ANOMALY_COLUMN, UNPARSED_COLUMN, Contract

RuleKind = Literal["parsed", "present", "range", "vocabulary", "unique", "label", "rule"]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RowRule:
    """One condition on one row.

    Attributes:
        kind: which condition.
        column: the column it reads (for `rule`: the rule's name; for `parsed`: all columns).
        severity: `critical` sends a row that breaks it to quarantine.
        text: what is wrong with such a row, for messages.
        low: smallest allowed number, for `range`.
        high: largest allowed number, for `range`.
        levels: allowed values, for `vocabulary` and `label`.
        check: the condition, for `rule`.
    """

    kind: RuleKind
    column: str
    severity: Severity
    text: str
    low: float = -math.inf
    high: float = math.inf
    levels: tuple[str, ...] = ()
    check: str = ""

    @property
    def key(self) -> str:
        """Identifies the rule within its contract."""
        if self.kind == "parsed":
            return self.kind
        limit = f":{self.check}" if self.kind == "range" and self.check else ""
        return f"{self.kind}:{self.column}{limit}"


def row_rules(contract: Contract, *, for_scoring: bool = False) -> tuple[RowRule, ...]:
    """All row rules of a contract, in the order in which reasons are given.

    Args:
        contract: the contract.
        for_scoring: leave out what matters for training only: the label and unique identifiers.
    """
    rules = [RowRule("parsed", UNPARSED_COLUMN, "critical", "not readable as declared")]
    for column in contract.stored_columns:
        if for_scoring and not column.is_feature:
            continue
        if not column.nullable:
            rules.append(RowRule("present", column.name, "critical", "missing value"))
        if column.type == "numeric":
            rules += _ranges(column)
        if column.type == "categorical":
            severity: Severity = "warning" if column.unseen == "other" else "critical"
            text = "level not in the vocabulary"
            rules.append(
                RowRule("vocabulary", column.name, severity, text, levels=column.vocabulary)
            )
        # A group is an identifier of several rows.
        of_one_row = column.type == "identifier" and column.name != contract.split.group_column
        if of_one_row and not for_scoring:
            rules.append(RowRule("unique", column.name, "critical", "value occurs more than once"))
    if contract.label is not None and not for_scoring:
        name = contract.label.column
        rules.append(RowRule("present", name, "critical", "missing label"))
        if contract.label.known is not None:
            text = "label not known to the contract"
            rules.append(RowRule("label", name, "critical", text, levels=contract.label.known))
    for rule in contract.rules:
        text = f"breaks the rule {rule.check}"
        rules.append(RowRule("rule", rule.name, rule.severity, text, check=rule.check))
    return tuple(rules)


def _ranges(column: Column) -> list[RowRule]:
    text, low, high = "not a finite 32-bit number", -FLOAT32_MAX, FLOAT32_MAX
    finite = RowRule("range", column.name, "critical", text, low=low, high=high)
    if column.minimum is None and column.maximum is None:
        return [finite]
    low = low if column.minimum is None else column.minimum
    high = high if column.maximum is None else column.maximum
    stated = replace(finite, text=f"outside {interval(column)}", low=low, high=high)
    if column.severity == "critical":
        return [stated]
    # A second rule of the same kind and column needs a key of its own: the check tells them apart.
    return [finite, replace(stated, severity=column.severity, check=column.severity)]


def interval(column: Column) -> str:
    """A column's allowed range as messages show it."""
    low = "-inf" if column.minimum is None else f"{column.minimum:g}"
    high = "inf" if column.maximum is None else f"{column.maximum:g}"
    return f"[{low}, {high}]"


def broken_rows(rule: RowRule, table: pa.Table, repeated: Mapping[str, pa.Array]) -> Mask:
    """Which rows break a rule.

    A missing value breaks only `present`; the other rules do not apply to it.

    Args:
        rule: the rule.
        table: (n rows) with `casting.stored_schema`.
        repeated: for each identifier column, the values that occur more than once anywhere.

    Returns:
        Boolean (n,), true where the rule is broken.

    Raises:
        ContractError: the condition of a cross-column rule does not fit its columns' types.
    """
    if rule.kind == "rule":
        try:
            return _mask(pc.invert(pc.fill_null(holds(rule.check, table), True)))
        except ValueError as error:
            raise ContractError(f"rule '{rule.column}': {error}; correct the contract.") from error
    column = table.column(rule.column)
    match rule.kind:
        case "parsed":
            return _mask(pc.is_valid(column))
        case "present":
            return _mask(pc.is_null(column)) if column.null_count else np.zeros(len(column), bool)
        case "range":
            values = column.to_numpy()
            if len(values) and rule.low <= values.min() and values.max() <= rule.high:
                return np.zeros(len(values), bool)  # as almost always; but not for NaN
            with np.errstate(invalid="ignore"):
                return np.asarray((values < rule.low) | (values > rule.high))
        case "vocabulary" | "label":
            allowed = pa.array(rule.levels, pa.string())
            return _mask(pc.and_(pc.is_valid(column), pc.invert(pc.is_in(column, allowed))))
        case "unique":
            return _mask(pc.is_in(column, value_set=repeated[rule.column], skip_nulls=True))


def unparsed_values(table: pa.Table) -> dict[int, dict[str, str]]:
    """The values that could not be read: row of the batch -> column -> original text."""
    column = table.column(UNPARSED_COLUMN)
    if column.null_count == len(column):
        return {}
    rows = np.flatnonzero(_mask(pc.is_valid(column)))
    texts = column.take(pa.array(rows)).to_pylist()
    return {int(row): json.loads(text) for row, text in zip(rows, texts, strict=True)}


def label_counts(table: pa.Table) -> tuple[int, int]:
    """Rows with a known label, and how many of these are anomalies; (0, 0) without a label."""
    if ANOMALY_COLUMN not in table.column_names:
        return 0, 0
    flags = table.column(ANOMALY_COLUMN)
    return len(flags) - flags.null_count, int(pc.sum(flags).as_py() or 0)


def _mask(values: pa.ChunkedArray) -> Mask:
    return np.asarray(values.to_numpy(), dtype=bool)
