"""Parting valid rows from bad ones, every bad row with all of its reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_checks.base.atomic import replacing
from data_checks.contract.model import UNPARSED_COLUMN
from data_checks.rows.row_rules import Mask, RowRule, label_counts, unparsed_values
from data_checks.validation.report import Tally, value_in_words

REASONS = "reasons"
_SLICE_ROWS = 131_072


@contextmanager
def sorting(
    valid: Path, quarantine: Path, schema: pa.Schema, rules: tuple[RowRule, ...]
) -> Iterator[RowSorter]:
    """Sort rows into a file of valid ones and a quarantine, which both appear when all is well.

    Without bad rows there is no quarantine; one of before is removed.
    """
    kept = schema.remove(schema.get_field_index(UNPARSED_COLUMN))
    with (
        replacing(quarantine) as bad_part,
        replacing(valid) as valid_part,
        pq.ParquetWriter(valid_part, kept) as good,
        pq.ParquetWriter(bad_part, quarantine_schema(schema)) as bad,
    ):
        sorter = RowSorter(rules, good, bad)
        yield sorter
    if not sorter.tally.quarantined:
        quarantine.unlink(missing_ok=True)


class RowSorter:
    """Parts rows, and counts.

    Attributes:
        tally: of the rows sorted so far.
    """

    def __init__(
        self, rules: tuple[RowRule, ...], valid: pq.ParquetWriter, quarantine: pq.ParquetWriter
    ) -> None:
        self.tally = Tally()
        self._rules, self._valid, self._quarantine = rules, valid, quarantine

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
        self.tally.labelled += label_counts(batch)[0]
        self.tally.anomalous += label_counts(good)[1]
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
                    f"{column}: {value_in_words(text)} is not readable as declared"
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


def repeated_values(table: Path, column: str) -> pa.Array:
    """The values, without null, that occur more than once in a text column of a Parquet file.

    Only 64-bit hashes of the column are held; the few values whose hash repeats are then counted
    exactly, so that a collision of hashes accuses nobody.
    """
    import pandas as pd

    def batches() -> Any:
        with pq.ParquetFile(table) as file:
            for batch in file.iter_batches(columns=[column]):
                values = batch.column(0).drop_null()
                hashes = pd.util.hash_array(values.to_numpy(zero_copy_only=False), categorize=False)
                yield values, hashes

    parts = [hashes for _, hashes in batches()]
    if not parts:
        return pa.array([], pa.string())
    hashes = np.sort(np.concatenate(parts))
    suspects = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    if not len(suspects):
        return pa.array([], pa.string())
    candidates = [values.filter(pa.array(np.isin(h, suspects))) for values, h in batches()]
    counts = pc.value_counts(pa.concat_arrays(candidates))
    repeated = pc.greater(counts.field("counts"), 1)
    return pc.cast(counts.field("values").filter(repeated), pa.string())
