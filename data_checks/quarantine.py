"""Parting valid rows from bad ones, every bad row with all of its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_checks.contract import ANOMALY_COLUMN, ROW_ID, UNPARSED_COLUMN
from data_checks.report import RuleResult
from data_checks.row_rules import Mask, RowRule, labelled, unparsed_values

REASONS = "reasons"
_EXAMPLES = 3
_SLICE_ROWS = 131_072
_EXPECTATIONS = {
    "parsed": "expect_column_values_to_be_null",
    "present": "expect_column_values_to_not_be_null",
    "range": "expect_column_values_to_be_between",
    "vocabulary": "expect_column_values_to_be_in_set",
    "label": "expect_column_values_to_be_in_set",
    "unique": "expect_column_values_to_be_unique",
    "rule": "expect_column_values_to_be_in_set",
}


class RowSorter:
    """Writes `valid.parquet` and `quarantine.parquet`, and counts.

    Used as a context manager: on an error neither file appears.
    """

    def __init__(self, out_dir: Path, schema: pa.Schema, rules: tuple[RowRule, ...]) -> None:
        self.valid_path = out_dir / "valid.parquet"
        self.quarantine_path = out_dir / "quarantine.parquet"
        self.counts: dict[str, int] = {rule.key: 0 for rule in rules}
        self.rows_in = self.rows_quarantined = 0
        self.rows_anomalous: int | None = 0 if ANOMALY_COLUMN in schema.names else None
        self._rules = rules
        self._examples: dict[str, list[str]] = {rule.key: [] for rule in rules}
        self._unparsed: dict[str, list[Any]] = {}  # column -> [count, examples]
        self._missing_only: dict[str, int] = {}
        mine = uuid4().hex[:8]  # two runs may write to one folder; the later rename wins
        self._valid_part = out_dir / f".valid.{mine}.part"
        self._quarantine_part = out_dir / f".quarantine.{mine}.part"
        index = schema.get_field_index(UNPARSED_COLUMN)
        self._valid_schema = schema.remove(index)
        self._quarantine_schema = schema.append(pa.field(REASONS, pa.list_(pa.string())))

    def __enter__(self) -> RowSorter:
        self._valid = pq.ParquetWriter(self._valid_part, self._valid_schema)
        self._quarantine = pq.ParquetWriter(self._quarantine_part, self._quarantine_schema)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._valid.close()
            self._quarantine.close()
            if kind is None:
                self._valid_part.replace(self.valid_path)
                if self.rows_quarantined:
                    self._quarantine_part.replace(self.quarantine_path)
                else:
                    self.quarantine_path.unlink(missing_ok=True)
        finally:
            self._valid_part.unlink(missing_ok=True)
            self._quarantine_part.unlink(missing_ok=True)

    def add(self, batch: pa.Table, masks: Mapping[str, Mask]) -> None:
        """Sort one batch.

        Args:
            batch: (n rows) with the ingested schema.
            masks: for each rule's key, boolean (n,), true where it is broken.
        """
        # Reasons are Python objects: a batch in which every row is bad must not hold them all.
        for start in range(0, batch.num_rows, _SLICE_ROWS):
            part = slice(start, start + _SLICE_ROWS)
            rows = batch.slice(start, _SLICE_ROWS)
            self._add(rows, {key: mask[part] for key, mask in masks.items()})

    def _add(self, batch: pa.Table, masks: Mapping[str, Mask]) -> None:
        bad = np.zeros(batch.num_rows, dtype=bool)
        unparsed = unparsed_values(batch)
        for rule in self._rules:
            mask = masks[rule.key]
            self.counts[rule.key] += int(mask.sum())
            self._note_examples(rule, batch, mask, unparsed)
            if rule.severity == "critical":
                bad |= mask
        self._note_unparsed(batch, unparsed)
        self.rows_in += batch.num_rows
        self.rows_quarantined += int(bad.sum())
        good = batch.filter(pa.array(~bad)) if bad.any() else batch
        good = good.drop_columns([UNPARSED_COLUMN])
        if self.rows_anomalous is not None:
            self.rows_anomalous += labelled(good)[1]
        self._valid.write_table(good)
        if bad.any():
            rows = np.flatnonzero(bad)
            reasons = pa.array(self._reasons(rows, masks, unparsed), pa.list_(pa.string()))
            self._quarantine.write_table(
                batch.filter(pa.array(bad)).append_column(REASONS, reasons)
            )

    def failures(self) -> list[RuleResult]:
        """The row rules that were broken, most rows first within each severity."""
        found = []
        for rule in self._rules:
            if rule.kind == "parsed":
                found += [
                    self._failure(rule, column, count, f"value {rule.text}", examples)
                    for column, (count, examples) in self._unparsed.items()
                ]
                continue
            count = self.counts[rule.key]
            if rule.kind == "present":
                # What could not be read is null too; it has been reported as such above.
                count = self._missing_only.get(rule.key, 0)
            if count:
                examples = self._examples[rule.key]
                found.append(self._failure(rule, rule.column, count, rule.text, examples))
        order = {"critical": 0, "warning": 1, "info": 2}
        return sorted(found, key=lambda item: (order[item.severity], -item.unexpected))

    def _failure(
        self, rule: RowRule, column: str, count: int, text: str, examples: list[str]
    ) -> RuleResult:
        what = f"rule '{column}'" if rule.kind == "rule" else f"column '{column}'"
        shown = f", for example {'; '.join(examples)}" if examples else ""
        broken_text = f"broken ({rule.check})" if rule.kind == "rule" else text
        return RuleResult(
            rule=rule.key,
            expectation=_EXPECTATIONS[rule.kind],
            column=None if rule.kind == "rule" else column,
            severity=rule.severity,
            table_level=False,
            unexpected=count,
            message=f"{what}: {broken_text} in {count:,} of {self.rows_in:,} rows{shown}",
        )

    def _note_examples(
        self, rule: RowRule, batch: pa.Table, mask: Mask, unparsed: Mapping[int, Mapping[str, str]]
    ) -> None:
        if not mask.any():
            return
        rows = np.flatnonzero(mask)
        if rule.kind == "present" and unparsed:
            rows = np.array([r for r in rows if rule.column not in unparsed.get(int(r), {})], int)
        if rule.kind == "present":
            self._missing_only[rule.key] = self._missing_only.get(rule.key, 0) + len(rows)
        examples = self._examples[rule.key]
        for row in rows[: _EXAMPLES - len(examples)]:
            source_row = batch.column(ROW_ID)[int(row)].as_py()
            if rule.kind in ("present", "rule", "parsed"):
                examples.append(f"row {source_row}")
            else:
                value = batch.column(rule.column)[int(row)].as_py()
                examples.append(f"{_shown(value)} in row {source_row}")

    def _note_unparsed(self, batch: pa.Table, unparsed: Mapping[int, Mapping[str, str]]) -> None:
        for row, values in unparsed.items():
            for column, text in values.items():
                entry = self._unparsed.setdefault(column, [0, []])
                entry[0] += 1
                if len(entry[1]) < _EXAMPLES:
                    source_row = batch.column(ROW_ID)[row].as_py()
                    entry[1].append(f"{_shown(text)} in row {source_row}")

    def _reasons(
        self,
        rows: Any,
        masks: Mapping[str, Mask],
        unparsed: Mapping[int, Mapping[str, str]],
    ) -> list[list[str]]:
        reasons: list[list[str]] = [[] for _ in rows]
        place = {int(row): i for i, row in enumerate(rows)}
        for row, values in unparsed.items():
            for column, text in values.items():
                reasons[place[row]].append(f"{column}: {_shown(text)} is not readable as declared")
        for rule in self._rules:
            if rule.kind == "parsed" or not masks[rule.key].any():
                continue
            for row in np.flatnonzero(masks[rule.key]).tolist():
                if row not in place:
                    continue
                if rule.kind == "present" and rule.column in unparsed.get(row, {}):
                    continue
                reasons[place[row]].append(f"{rule.column}: {rule.text}")
        return reasons


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return repr(value if len(str(value)) <= 40 else f"{str(value)[:37]}...")
