"""What validation found, as records that travel between stages and into run logs."""

from __future__ import annotations

from data_checks.contract.columns import ContractPart, Severity
from data_checks.contract.model import Contract


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
