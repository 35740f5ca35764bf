"""What validation found: counts and first examples of rows, and the records that tell of them.

Tallies add up in the order of the rows, whoever counted them. Records travel between stages and
into run logs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyarrow as pa

from data_checks.contract.columns import ContractPart, Severity
from data_checks.contract.model import ROW_ID, Contract
from data_checks.rows.row_rules import Mask, RowRule


class RuleResult(ContractPart):
    """One rule that did not hold.

    `expectation` is Great Expectations' name for it, `unexpected` the rows that break it (1 for a
    rule about the table as a whole), `message` one line with the first examples.
    """

    rule: str
    expectation: str
    column: str | None
    severity: Severity
    table_level: bool
    unexpected: int
    message: str

    @property
    def place(self) -> str:
        """What the rule is about, for tables."""
        return self.column or ("(table)" if self.table_level else "(across columns)")


class ValidationReport(ContractPart):
    """The outcome of one validation. All paths name files below its `out_dir`."""

    contract: str
    contract_digest: str
    rows_in: int
    rows_valid: int
    rows_quarantined: int
    rows_anomalous: int | None
    passed: bool
    message: str
    expectations: int
    failures: tuple[RuleResult, ...]
    valid_path: str
    valid_sha256: str
    quarantine_path: str | None
    data_docs: str | None
    result_json: str


def verdict(
    contract: Contract, rows_in: int, rows_quarantined: int, failures: list[RuleResult]
) -> tuple[bool, str]:
    """Whether the flow may go on, and one line saying why (not)."""
    for failure in failures:
        if failure.table_level and failure.severity == "critical":
            return False, f"{contract.name}: {failure.message} ({failure.expectation})."
    row_level = [f for f in failures if not f.table_level and f.severity == "critical"]
    worst = max(row_level, key=lambda failure: failure.unexpected, default=None)
    most = f"; most often {worst.message} ({worst.expectation})" if worst else ""
    if rows_quarantined == rows_in:
        return False, f"{contract.name}: none of the {rows_in:,} rows is valid{most}."
    share = rows_quarantined / rows_in
    if share > contract.max_quarantine_share:
        return False, (
            f"{contract.name}: {rows_quarantined:,} of {rows_in:,} rows ({share:.2%}) are bad, "
            f"{contract.max_quarantine_share:.2%} are allowed (max_quarantine_share){most}."
        )
    bad = f", {rows_quarantined:,} in quarantine" if rows_quarantined else ""
    kept = f"{rows_in - rows_quarantined:,} of {rows_in:,} rows are valid{bad}"
    reported = [f for f in failures if f.severity != "critical"]
    warnings = f"; to look at: {reported[0].message}" if reported else ""
    return True, f"{contract.name}: {kept}{most}{warnings}."


EXAMPLES = 3
EXPECTATIONS = {
    "parsed": "expect_column_values_to_be_null",
    "present": "expect_column_values_to_not_be_null",
    "range": "expect_column_values_to_be_between",
    "vocabulary": "expect_column_values_to_be_in_set",
    "label": "expect_column_values_to_be_in_set",
    "unique": "expect_column_values_to_be_unique",
    "rule": "expect_column_values_to_be_in_set",
}


@dataclass
class BrokenRows:
    """How many rows, and the first of them in words."""

    rows: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, other: Self) -> None:
        """Append what was found in later rows."""
        self.rows += other.rows
        self.examples += other.examples[: EXAMPLES - len(self.examples)]


@dataclass
class Tally:
    """Counts over some rows.

    Attributes:
        rows: all of them.
        quarantined: those that break a critical rule.
        labelled: those with a known label.
        anomalous: anomalies among the valid rows.
        broken: for each rule's key, the rows that break it.
        told: the same for what is reported: a value that could not be read is not missing, too.
        unparsed: for each column, the values that could not be read.
    """

    rows: int = 0
    quarantined: int = 0
    labelled: int = 0
    anomalous: int = 0
    broken: dict[str, int] = field(default_factory=dict)
    told: dict[str, BrokenRows] = field(default_factory=dict)
    unparsed: dict[str, BrokenRows] = field(default_factory=dict)

    def add(self, other: Self) -> None:
        """Append the tally of the rows behind these."""
        self.rows += other.rows
        self.quarantined += other.quarantined
        self.labelled += other.labelled
        self.anomalous += other.anomalous
        for key, count in other.broken.items():
            self.broken[key] = self.broken.get(key, 0) + count
        for mine, others in ((self.told, other.told), (self.unparsed, other.unparsed)):
            for key, rows in others.items():
                mine.setdefault(key, BrokenRows()).add(rows)

    def note(
        self,
        rule: RowRule,
        batch: pa.Table,
        mask: Mask,
        unparsed: Mapping[int, Mapping[str, str]],
    ) -> None:
        """Count the rows of a batch that break a rule."""
        self.broken[rule.key] = self.broken.get(rule.key, 0) + int(mask.sum())
        rows = np.flatnonzero(mask)
        if rule.kind == "present" and unparsed:
            rows = np.array([r for r in rows if rule.column not in unparsed.get(int(r), {})], int)
        if rule.kind == "parsed" or not len(rows):
            return
        examples = []
        for row in rows[:EXAMPLES].tolist():
            place = f"row {batch.column(ROW_ID)[row].as_py()}"
            if rule.kind not in ("present", "rule"):
                place = f"{value_in_words(batch.column(rule.column)[row].as_py())} in {place}"
            examples.append(place)
        self.told.setdefault(rule.key, BrokenRows()).add(BrokenRows(len(rows), examples))

    def note_unparsed(self, batch: pa.Table, unparsed: Mapping[int, Mapping[str, str]]) -> None:
        """Count the values of a batch that could not be read."""
        for row, values in unparsed.items():
            for column, text in values.items():
                place = f"{value_in_words(text)} in row {batch.column(ROW_ID)[row].as_py()}"
                self.unparsed.setdefault(column, BrokenRows()).add(BrokenRows(1, [place]))

    def failures(self, rules: tuple[RowRule, ...]) -> list[RuleResult]:
        """The row rules that were broken, most rows first within each severity."""
        results = []
        for rule in rules:
            if rule.kind == "parsed":
                results += [
                    self._failure(rule, column, f"value {rule.text}", failing)
                    for column, failing in self.unparsed.items()
                ]
            elif (failing := self.told.get(rule.key)) is not None:
                results.append(self._failure(rule, rule.column, rule.text, failing))
        order = {"critical": 0, "warning": 1, "info": 2}
        return sorted(results, key=lambda item: (order[item.severity], -item.unexpected))

    def _failure(self, rule: RowRule, column: str, text: str, failing: BrokenRows) -> RuleResult:
        what = f"rule '{column}'" if rule.kind == "rule" else f"column '{column}'"
        shown = f", for example {'; '.join(failing.examples)}" if failing.examples else ""
        broken_text = f"broken ({rule.check})" if rule.kind == "rule" else text
        return RuleResult(
            rule=rule.key,
            expectation=EXPECTATIONS[rule.kind],
            column=None if rule.kind == "rule" else column,
            severity=rule.severity,
            table_level=False,
            unexpected=failing.rows,
            message=f"{what}: {broken_text} in {failing.rows:,} of {self.rows:,} rows{shown}",
        )


def value_in_words(value: Any) -> str:
    """A value as messages show it."""
    if isinstance(value, float):
        return f"{value:g}"
    return repr(value if len(str(value)) <= 40 else f"{str(value)[:37]}...")
