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

from data_checks.contract.model import UNPARSED_COLUMN
from data_checks.rows.row_rules import Mask, RowRule, labelled, unparsed_values
from data_checks.validation.tally import Tally, in_words

REASONS = "reasons"
_SLICE_ROWS = 131_072


class RowSorter:
    """Writes the valid rows and the quarantine to a file each, and counts.

    Used as a context manager: on an error neither file appears.

    Attributes:
        tally: of the rows sorted so far.
    """

    def __init__(
        self, valid: Path, quarantine: Path, schema: pa.Schema, rules: tuple[RowRule, ...]
    ) -> None:
        self.valid_path, self.quarantine_path = valid, quarantine
        self.tally = Tally()
        self._rules = rules
        mine = uuid4().hex[:8]  # two runs may write to one folder; the later rename wins
        self._valid_part = valid.with_name(f".{valid.name}.{mine}.part")
        self._quarantine_part = quarantine.with_name(f".{quarantine.name}.{mine}.part")
        self._valid_schema = schema.remove(schema.get_field_index(UNPARSED_COLUMN))
        self._quarantine_schema = quarantine_schema(schema)

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
                if self.tally.quarantined:
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
            self.tally.note(rule, batch, mask, unparsed)
            if rule.severity == "critical":
                bad |= mask
        self.tally.note_unparsed(batch, unparsed)
        good = batch.filter(pa.array(~bad)) if bad.any() else batch
        good = good.drop_columns([UNPARSED_COLUMN])
        self.tally.rows += batch.num_rows
        self.tally.quarantined += int(bad.sum())
        self.tally.labelled += labelled(batch)[0]
        self.tally.anomalous += labelled(good)[1]
        self._valid.write_table(good)
        if bad.any():
            rows = np.flatnonzero(bad)
            reasons = pa.array(self._reasons(rows, masks, unparsed), pa.list_(pa.string()))
            self._quarantine.write_table(
                batch.filter(pa.array(bad)).append_column(REASONS, reasons)
            )

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
                reasons[place[row]].append(
                    f"{column}: {in_words(text)} is not readable as declared"
                )
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


def quarantine_schema(schema: pa.Schema) -> pa.Schema:
    """Columns of a quarantine: those of the ingested table, and the reasons."""
    return schema.append(pa.field(REASONS, pa.list_(pa.string())))
