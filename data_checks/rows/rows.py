"""Rows to be scored: which can be, and why the others cannot.

The light side of validation, without Great Expectations. A row that cannot be scored is returned
with its reason, never dropped and never filled in silently. A level outside its vocabulary or a
number outside its range can be scored, and an anomaly detector is there to see it: such rows get a
remark instead, unless `reject` was chosen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_checks.contract.column_names import check_names
from data_checks.contract.columns import FLOAT32_MAX, Outside
from data_checks.contract.expressions import names_in
from data_checks.contract.model import ROW_ID, UNPARSED_COLUMN, Contract
from data_checks.contract.notation import notation_of
from data_checks.rows.casting import cast_batch
from data_checks.rows.fast_check import SoundRows
from data_checks.rows.frames import arrow_columns, column_names
from data_checks.rows.row_rules import RowRule, broken_rows, row_rules, unparsed_values

if TYPE_CHECKING:
    import pandas as pd

Texts = npt.NDArray[np.object_]
Told = defaultdict[int, dict[str, None]]
"""Different texts by row, in the order in which they were found."""
WORDS = {"numeric": "number", "boolean": "truth value"}
LONGEST_SHOWN = 200
REMEDIES = {
    "number": "give a number",
    "truth value": "give true or false, yes or no, 1 or 0",
    "present": "give a value, or let the contract impute gaps of this column",
    "finite": "give a number that 32-bit arithmetic can hold",
    "range": "correct it, or choose `scoring.outside: mark` to have such rows scored",
    "vocabulary": "correct it, or choose `scoring.outside: mark` to have such rows scored",
}


@dataclass(frozen=True)
class RowCheck:
    """The rows, typed, and what was found about each.

    Attributes:
        features: (n rows) the contract's feature columns with its types; a value that could not
            be read is null.
        scorable: boolean (n,).
        reasons: for each row that cannot be scored, all reasons in one text; else None.
        remarks: for each row that breaks a rule but can be scored, what it breaks; else None.
        unseen: for each categorical column, the scored rows with a level outside its vocabulary.
        causes: for each cause, without the value, the rows that cannot be scored because of it.
        refusal: what is wrong with the first row that cannot be scored, and what to do; else "".
    """

    features: pa.Table
    scorable: npt.NDArray[np.bool_]
    reasons: Texts
    remarks: Texts
    unseen: Mapping[str, int]
    causes: Mapping[str, int]
    refusal: str

    @property
    def rejected(self) -> int:
        """Rows that cannot be scored."""
        return int((~self.scorable).sum())


def check_rows(
    rows: pd.DataFrame | pa.Table | pa.RecordBatch | Mapping[str, Sequence[Any]],
    contract: Contract,
    *,
    where: str = "input",
    outside: Outside | None = None,
) -> RowCheck:
    """Check rows that are to be scored; label and identifiers need not be there.

    Args:
        rows: (n rows) with at least the contract's feature columns, of any types; lists of Python
            values by name are rows, too.
        contract: the contract the model was trained under.
        where: name of the input, for messages.
        outside: what becomes of levels and numbers outside vocabulary and range; as the contract
            has it when None.

    Raises:
        SourceError: a feature column is missing, or as a whole of a type that cannot be read.
    """
    return RowChecker(contract)(rows, where=where, outside=outside)


@dataclass(frozen=True)
class RowChecker:
    """`check_rows` for whoever checks rows of one contract again and again."""

    contract: Contract

    @cached_property
    def features(self) -> Contract:
        """The contract of the feature columns alone."""
        features = self.contract.feature_columns
        names = {column.name for column in features}
        rules = tuple(rule for rule in self.contract.rules if names_in(rule.check) <= names)
        return self.contract.model_copy(update={"columns": features, "label": None, "rules": rules})

    @cached_property
    def _rules(self) -> tuple[RowRule, ...]:
        return tuple(r for r in row_rules(self.features, for_scoring=True) if r.kind != "parsed")

    @cached_property
    def _across(self) -> tuple[RowRule, ...]:
        """Rules of several columns, which sound rows may break, too."""
        return tuple(rule for rule in self._rules if rule.kind == "rule")

    @cached_property
    def _sound(self) -> SoundRows:
        return SoundRows(self.features)

    def __call__(
        self,
        rows: pd.DataFrame | pa.Table | pa.RecordBatch | Mapping[str, Sequence[Any]],
        *,
        where: str = "input",
        outside: Outside | None = None,
    ) -> RowCheck:
        """See `check_rows`."""
        light = self.features
        names = [column.name for column in light.columns]
        needed = set(names)
        given = [name for name in column_names(rows) if name in needed]
        remedy = "; the input needs every feature column of the model."
        check_names(where, given, names, remedy)
        typed = self._sound(rows) if isinstance(rows, Mapping) else None
        rules, unparsed = self._across, {}
        if typed is None:
            table = arrow_columns(rows, light.columns, notation_of(light.source))
            typed = cast_batch(table, light, 0, where=where, with_label=False)
            rules, unparsed = self._rules, unparsed_values(typed)
            typed = typed.drop_columns([ROW_ID, UNPARSED_COLUMN])
        notes = _Notes(typed, unparsed, outside or light.scoring.outside, light)
        for rule in rules:
            notes.add(rule, broken_rows(rule, typed, {}))
        n = typed.num_rows
        scorable = np.ones(n, dtype=bool)
        scorable[list(notes.reasons)] = False
        unseen = {name: int(scorable[rows].sum()) for name, rows in notes.unseen.items()}
        return RowCheck(
            features=typed,
            scorable=scorable,
            reasons=_joined(notes.reasons, n),
            remarks=_joined(notes.remarks, n),
            unseen={name: rows for name, rows in unseen.items() if rows},
            causes=dict(notes.causes),
            refusal=notes.refusal(),
        )


class _Notes:
    """What is found about the rows, rule by rule."""

    def __init__(
        self,
        typed: pa.Table,
        unparsed: Mapping[int, Mapping[str, str]],
        outside: Outside,
        contract: Contract,
    ) -> None:
        self.reasons: Told = defaultdict(dict)
        self.remarks: Told = defaultdict(dict)
        self.unseen: dict[str, list[int]] = {}
        self.causes: Counter[str] = Counter()
        self._typed, self._unparsed, self._outside = typed, unparsed, outside
        self._first: tuple[int, str, str] | None = None
        kinds = {column.name: WORDS.get(column.type, column.type) for column in contract.columns}
        for row, values in unparsed.items():
            for name, text in values.items():
                kind = kinds[name]
                self._reject(row, name, f"{_shown(text)} is not a {kind}", f"not a {kind}", kind)

    def add(self, rule: RowRule, mask: npt.NDArray[np.bool_]) -> None:
        """Note the rows that break a rule."""
        rows = np.flatnonzero(mask).tolist()
        if not rows:
            return
        if rule.kind == "rule":
            for row in rows:
                self.remarks[row][rule.text] = None
            return
        name, critical = rule.column, rule.severity == "critical"
        kept = self._outside == "mark" or not critical
        if rule.kind == "vocabulary" and kept:
            self.unseen[name] = rows
        column = self._typed.column(name)
        for row in rows:
            value = column[row].as_py()
            if rule.kind == "present":
                if name not in self._unparsed.get(row, {}):
                    self._reject(row, name, rule.text, rule.text, "present")
            elif rule.kind == "vocabulary" and kept:
                self.remarks[row][f"{name}: {_shown(value)}: {rule.text}"] = None
            elif rule.kind == "vocabulary":
                self._reject(row, name, f"{_shown(value)}: {rule.text}", rule.text, "vocabulary")
            elif abs(value) > FLOAT32_MAX:
                text = "not a finite 32-bit number"
                self._reject(row, name, f"{value:g} is {text}", text, "finite")
            elif kept:
                self.remarks[row][f"{name}: {value:g} is {rule.text}"] = None
            else:
                self._reject(row, name, f"{value:g} is {rule.text}", rule.text, "range")

    def _reject(self, row: int, column: str, reason: str, cause: str, remedy: str) -> None:
        self.reasons[row][f"{column}: {reason}"] = None
        self.causes[f"{column}: {cause}"] += 1
        if self._first is None or row < self._first[0]:
            remedied = REMEDIES.get(remedy, f"give a {remedy}")
            self._first = row, f"column {column!r}: {reason}", remedied

    def refusal(self) -> str:
        """The first row that cannot be scored, in one sentence."""
        if self._first is None:
            return ""
        row, reason, remedy = self._first
        others = len(self.reasons) - 1
        more = f" ({others:,} more {'row' if others == 1 else 'rows'} cannot be scored)"
        return f"row {row}, {reason}; {remedy}{more if others else ''}"


def _shown(text: str) -> str:
    """A value in quotes; of a long one the beginning, for it stands in several messages."""
    return repr(text) if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]!r}…"


def _joined(told: Told, rows: int) -> Texts:
    """One text for each row; None where nothing is told of it."""
    result = np.full(rows, None, dtype=object)
    for row, texts in told.items():
        result[row] = "; ".join(texts)
    return result
