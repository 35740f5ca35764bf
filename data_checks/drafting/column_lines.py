"""The lines of a drafted contract that describe one column."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from data_checks.base.visible import quoted
from data_checks.contract.columns import Column
from data_checks.drafting.first_look import (
    MOSTLY,
    number_with_a_unit,
    number_written_differently,
    time_as_number,
    unread_examples,
)
from data_checks.drafting.label_lines import looks_like_identifier
from data_checks.drafting.profile import MAX_LEVELS, ColumnProfile

HEAD_ROOM = 0.25
"""Ranges reach this share of the observed span beyond what was observed."""
_FEW_LEVELS = 20
_NO_VALUE = {"?", "-", "--", ".", "*", "n/a", "none", "None", "NONE", "nil", "Null", "#N/A", "\\N"}
_FLOAT32_LIMIT = 3.4e38
_SENTINEL = re.compile(r"-?9{2,6}|-9")


@dataclass(frozen=True)
class ColumnDraft:
    """One column of a drafted contract.

    Attributes:
        lines: YAML, indented as an item of `columns`.
        bad_rows: rows that the column's own type will send to quarantine.
        remarks: what a person should look at.
        told_together: what is said once, of all columns that it is true of.
    """

    lines: tuple[str, ...]
    bad_rows: int = 0
    remarks: tuple[str, ...] = ()
    told_together: Literal["", "left out", "zero and one"] = ""


def draft_column(column: ColumnProfile, texts: Sequence[str] = ()) -> ColumnDraft:
    """Propose type, range, vocabulary and treatment of gaps for one column."""
    name = quoted(column.name)
    if column.binary:
        drafted = _ignored(
            "bytes that are not text", f"{name} is left out: bytes that are not text"
        )
    elif column.present == 0:
        drafted = _ignored("no value in any row", f"{name} is empty")
    else:
        drafted = _typed(column, name, texts)
    gaps = [] if "ignored" in drafted.lines[0] else _gaps(column)
    constant = (f"{name} is constant",) if column.constant else ()
    return ColumnDraft(
        (f"  - name: {name}", *drafted.lines, *gaps),
        drafted.bad_rows,
        constant + drafted.remarks,
        drafted.told_together,
    )


def _typed(column: ColumnProfile, name: str, texts: Sequence[str]) -> ColumnDraft:
    if column.duration:
        return _ignored("a duration", f"{name} is left out: a duration; store it as a number")
    mostly_numbers = column.numbers >= MOSTLY * column.present > 0
    if not mostly_numbers and (shown := number_with_a_unit(texts)):
        remark = (
            f"{name} is left out: {shown!r} is a number with something around it; store numbers"
        )
        return _ignored("no plain numbers", remark)
    if looks_like_identifier(column):
        other = None if mostly_numbers else number_written_differently(texts, column.notation)
        if other is not None and column.times < MOSTLY * column.present:
            remark = (
                f"{name} is left out: {other!r} is a number, but not in the notation of the other "
                "columns (source.decimal, source.thousands); store all numbers alike"
            )
            return _ignored("no plain numbers", remark)
        return ColumnDraft(
            ("    type: identifier  # no value occurs twice",), told_together="left out"
        )
    lines: tuple[str, ...]
    levels = set(column.levels or ())
    if len(levels) == 2 and column.booleans == column.present:
        truth = int(_mode(column).lower() in ("true", "t", "yes", "y", "1"))
        lines = ("    type: boolean", *_filled(column, truth))
        digits = levels == {"0", "1"}
        return ColumnDraft(lines, told_together="zero and one" if digits else "")
    if column.padded and column.levels is not None and _repeats(column):
        remark = f"{name} is categorical: numbers with zeros in front are taken for codes"
        return ColumnDraft(_categorical(column), remarks=(remark,))
    if mostly_numbers and column.numbers > column.infinite:
        return _numeric(column, name, texts)
    if column.times >= MOSTLY * column.present:
        return _time(column, name, texts)
    if column.levels is not None and _repeats(column):
        empty = sorted(_NO_VALUE & column.levels.keys())
        remark = f'{name}: {", ".join(map(repr, empty))} may mean "no value", for source.missing'
        return ColumnDraft(_categorical(column), remarks=(remark,) if empty else ())
    many = f"more than {MAX_LEVELS}" if column.levels is None else f"{len(column.levels)}"
    if other := number_written_differently(texts, column.notation):
        remark = (
            f"{name} is left out: {other!r} is a number in a notation that is not read; store "
            "plain numbers, such as -1234.5"
        )
        return _ignored("no plain numbers", remark)
    remark = f"{name} is left out: text with {many} different values"
    if texts:
        remark += f", for example {texts[0][:40]!r}"
    remark += "; store what the model is to see of it as numbers, or in fewer levels"
    return _ignored(f"text with {many} different values", remark)


def _ignored(why: str, remark: str) -> ColumnDraft:
    return ColumnDraft((f"    type: ignored  # {why}",), remarks=(remark,))


def _numeric(column: ColumnProfile, name: str, texts: Sequence[str]) -> ColumnDraft:
    remarks = []
    if column.padded:
        remarks.append(
            f"{name} is numeric, though some values have leading zeros: as numbers 007 and 7 are "
            "the same; codes belong in a categorical or ignored column"
        )
    if (times := time_as_number(column.low, column.high, texts)) is not None:
        what, declared = times
        remarks.append(
            f"{name} is numeric, but looks like {what}: the model would find every later row "
            f"strange; {declared}"
        )
    if bad := column.present - column.numbers + column.infinite:
        shown = _for_example(column, "numeric", texts)
        remarks.append(
            f"{name}: {bad:,} values are no finite numbers{shown}; "
            'quarantine takes them. A text that means "no value" belongs into source.missing'
        )
    if (sentinel := _sentinel(column, texts)) is not None:
        remarks.append(
            f'{name}: {sentinel!r} lies far from all other values; if it means "no value", put it '
            "into source.missing"
        )
    lines = ("    type: numeric", *_range(column), *_filled(column, None))
    return ColumnDraft(lines, bad, tuple(remarks))


def _sentinel(column: ColumnProfile, texts: Sequence[str]) -> str | None:
    """The number of nines at one end of a column that is farther from the others than they span."""
    numbers = column.notation.numbers(pa.array(texts, pa.string())).drop_null().unique()
    if len(numbers) < 3:
        return None
    ordered = np.sort(numbers.to_numpy())
    ends = ((ordered[0], ordered[1:]), (ordered[-1], ordered[:-1]))
    for end, others in ends:
        away = min(abs(end - others[0]), abs(end - others[-1]))
        if _SENTINEL.fullmatch(f"{end:g}") and away > others[-1] - others[0]:
            return f"{end:g}"
    return None


def _time(column: ColumnProfile, name: str, texts: Sequence[str]) -> ColumnDraft:
    lines = ["    type: timestamp  # the model does not see it"]
    if column.time_format is not None:
        lines.append(f"    timestamp_format: {json.dumps(column.time_format)}")
    remarks = []
    if bad := column.present - column.times:
        shown = _for_example(column, "timestamp", texts)
        remarks.append(f"{name}: {bad:,} values are no times{shown}; quarantine takes them")
    return ColumnDraft(tuple(lines), bad, tuple(remarks), told_together="left out")


def _for_example(
    column: ColumnProfile, kind: Literal["numeric", "timestamp"], texts: Sequence[str]
) -> str:
    pattern = column.time_format if kind == "timestamp" else None
    typed = Column(name="x", type=kind, timestamp_format=pattern)
    unread = unread_examples(texts, typed, column.notation)
    return f" ({', '.join(repr(text[:40]) for text in unread)})" if unread else ""


def _repeats(column: ColumnProfile) -> bool:
    """Whether texts come back often enough to be levels rather than free text."""
    assert column.levels is not None
    return len(column.levels) <= _FEW_LEVELS or 2 * len(column.levels) <= column.present


def _gaps(column: ColumnProfile) -> list[str]:
    if not column.missing:
        return []
    share = min(1.0, column.missing / column.rows + 0.1)
    limit = [f"    max_null_share: {share:.2f}"] if share > 0.5 else []
    return [f"    nullable: true  # {column.missing:,} missing", *limit]


def _filled(column: ColumnProfile, constant: object) -> list[str]:
    if not column.missing:
        return []
    if constant is None:
        return ["    impute: median"]
    return ["    impute: constant", f"    impute_value: {constant}  # most frequent"]


def _mode(column: ColumnProfile) -> str:
    assert column.levels is not None
    return column.levels.most_common(1)[0][0]


def _range(column: ColumnProfile) -> list[str]:
    span = column.high - column.low
    room = HEAD_ROOM * span if span else max(1.0, abs(column.low))
    low = 0.0 if column.low >= 0 else _rounded(column.low - room, math.floor)
    high = _rounded(column.high + room, math.ceil)
    return [
        f"    minimum: {_plain(low)}  # observed {column.low:g}",
        f"    maximum: {_plain(high)}  # observed {column.high:g}",
    ]


def _rounded(value: float, direction: Any) -> float:
    """Round outwards to three digits; never past what float32 holds."""
    if value == 0:
        return 0.0
    scale = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    rounded = direction(value / scale) * scale
    return float(min(_FLOAT32_LIMIT, max(-_FLOAT32_LIMIT, rounded)))


def _plain(value: float) -> str:
    # YAML reads 1e+16 as text; with a decimal point in the mantissa it is a number.
    text = f"{value:.10g}"
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return text


def _categorical(column: ColumnProfile) -> tuple[str, ...]:
    assert column.levels is not None
    levels = ", ".join(quoted(level) for level in sorted(column.levels))
    return (
        "    type: categorical",
        f"    vocabulary: [{levels}]",
        "    unseen: reject  # or other: keep rows with a new level in a training, too",
        *_filled(column, quoted(_mode(column))),
    )
