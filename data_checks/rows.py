"""Rows to be scored: which can be, and why the others cannot.

The light side of validation, without Great Expectations. A row that cannot be scored is returned
with its reason, never dropped and never filled in silently. A value outside its allowed range can
be scored, and an anomaly detector is there to see it: such rows get a remark instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_checks.casting import cast_batch
from data_checks.columns import FLOAT32_MAX
from data_checks.contract import ROW_ID, UNPARSED_COLUMN, Contract
from data_checks.errors import SourceError
from data_checks.expressions import names_in
from data_checks.row_rules import RowRule, broken, row_rules, unparsed_values

if TYPE_CHECKING:
    import pandas as pd

Texts = npt.NDArray[np.object_]


@dataclass(frozen=True)
class RowCheck:
    """The rows, typed, and what was found about each.

    Attributes:
        features: (n rows) the contract's feature columns with its types; a value that could not
            be read is null.
        scorable: boolean (n,).
        reasons: for each row that cannot be scored, all reasons in one text; else None.
        remarks: for each row that breaks a rule but can be scored, what it breaks; else None.
        unseen: for each categorical column with `unseen: other`, the rows with a new level.
    """

    features: pa.Table
    scorable: npt.NDArray[np.bool_]
    reasons: Texts
    remarks: Texts
    unseen: Mapping[str, int]

    @property
    def rejected(self) -> int:
        """Rows that cannot be scored."""
        return int((~self.scorable).sum())

    def summary(self) -> str:
        """One line for people."""
        rows = len(self.scorable)
        text = f"{rows - self.rejected:,} of {rows:,} rows can be scored"
        if self.rejected:
            first = int(np.flatnonzero(~self.scorable)[0])
            text += f"; the first that cannot is row {first}: {self.reasons[first]}"
        if self.unseen:
            levels = ", ".join(f"{name} ({count:,})" for name, count in self.unseen.items())
            text += f"; levels not seen in training: {levels}"
        return text


def check_rows(
    rows: pd.DataFrame | pa.Table | pa.RecordBatch, contract: Contract, *, where: str = "input"
) -> RowCheck:
    """Check rows that are to be scored; label and identifiers need not be there.

    Args:
        rows: (n rows) with at least the contract's feature columns, of any types.
        contract: the contract the model was trained under.
        where: name of the input, for messages.

    Raises:
        SourceError: a feature column is missing, or as a whole of a type that cannot be read.
    """
    table = _arrow(rows, where)
    wanted = [column.name for column in contract.feature_columns]
    present = set(table.column_names)
    if absent := [name for name in wanted if name not in present]:
        shown = ", ".join(f"'{name}'" for name in absent[:5])
        raise SourceError(
            f"{where}: missing column {shown}; the input needs every feature column of the model."
        )
    light = _features_only(contract)
    typed = cast_batch(table, light, 0, where=where, with_label=False)
    n = typed.num_rows
    unparsed = unparsed_values(typed)
    reasons, remarks = _Texts(n), _Texts(n)
    for row, values in unparsed.items():
        for column, text in values.items():
            reasons.add(row, f"{column}: {text!r} is not a {light_type(light, column)}")
    unseen: dict[str, int] = {}
    for rule in row_rules(light, for_scoring=True):
        if rule.kind == "parsed":
            continue
        mask = broken(rule, typed, {})
        if not mask.any():
            continue
        if rule.kind == "vocabulary" and rule.severity != "critical":
            unseen[rule.column] = int(mask.sum())
        _note(rule, mask, typed, unparsed, reasons, remarks)
    scorable = np.ones(n, dtype=bool)
    scorable[reasons.rows()] = False
    return RowCheck(
        features=typed.drop_columns([ROW_ID, UNPARSED_COLUMN]),
        scorable=scorable,
        reasons=reasons.array(),
        remarks=remarks.array(),
        unseen=unseen,
    )


def light_type(contract: Contract, column: str) -> str:
    """The declared type of a column, in words."""
    kind = next(c.type for c in contract.columns if c.name == column)
    return {"numeric": "number", "boolean": "truth value"}.get(kind, kind)


def _features_only(contract: Contract) -> Contract:
    features = contract.feature_columns
    names = {column.name for column in features}
    rules = tuple(rule for rule in contract.rules if names_in(rule.check) <= names)
    return contract.model_copy(update={"columns": features, "label": None, "rules": rules})


def _note(
    rule: RowRule,
    mask: npt.NDArray[np.bool_],
    typed: pa.Table,
    unparsed: Mapping[int, Mapping[str, str]],
    reasons: _Texts,
    remarks: _Texts,
) -> None:
    if rule.kind == "rule":
        for row in np.flatnonzero(mask).tolist():
            remarks.add(row, f"{rule.text}")
        return
    column = typed.column(rule.column)
    for row in np.flatnonzero(mask).tolist():
        value = column[row].as_py()
        if rule.kind == "present":
            if rule.column not in unparsed.get(row, {}):
                reasons.add(row, f"{rule.column}: {rule.text}")
        elif rule.kind == "range" and abs(value) <= FLOAT32_MAX:
            remarks.add(row, f"{rule.column}: {value:g} is {rule.text}")
        elif rule.kind == "vocabulary" and rule.severity != "critical":
            remarks.add(row, f"{rule.column}: {value!r}: {rule.text}")
        elif rule.kind == "range":
            reasons.add(row, f"{rule.column}: {value:g} is not a finite 32-bit number")
        else:
            reasons.add(row, f"{rule.column}: {value!r}: {rule.text}")


class _Texts:
    """Texts by row, joined where a row has several."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._by_row: dict[int, list[str]] = {}

    def add(self, row: int, text: str) -> None:
        texts = self._by_row.setdefault(row, [])
        if text not in texts:
            texts.append(text)

    def rows(self) -> list[int]:
        return list(self._by_row)

    def array(self) -> Texts:
        result = np.full(self._rows, None, dtype=object)
        for row, texts in self._by_row.items():
            result[row] = "; ".join(texts)
        return result


def _arrow(rows: Any, where: str) -> pa.Table:
    if isinstance(rows, pa.Table | pa.RecordBatch):
        return rows
    if not rows.columns.is_unique:
        twice = sorted({str(c) for c in rows.columns[rows.columns.duplicated()]})
        raise SourceError(f"{where}: column named twice: {', '.join(twice)}.")
    columns = {str(name): _array(rows[name]) for name in rows.columns}
    return pa.table(columns)


def _array(series: Any) -> pa.Array:
    try:
        return pa.Array.from_pandas(series)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # Mixed Python objects: as text, every value is judged on its own.
        missing = series.isna()
        return pa.array(
            [None if gap else str(v) for v, gap in zip(series, missing, strict=True)], pa.string()
        )
