"""The lines of a drafted contract that describe one column."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from data_checks.profile import MAX_LEVELS, ColumnProfile, looks_like_identifier

HEAD_ROOM = 0.25
"""Ranges reach this share of the observed span beyond what was observed."""
MOSTLY = 0.8
"""From this share of readable numbers on, a column is numeric and the rest are bad values."""
_FEW_LEVELS = 20
_FLOAT32_LIMIT = 3.4e38


@dataclass(frozen=True)
class ColumnDraft:
    """One column of a drafted contract.

    Attributes:
        lines: YAML, indented as an item of `columns`.
        bad_rows: rows that the column's own type will send to quarantine.
        remarks: what a person should look at.
    """

    lines: tuple[str, ...]
    bad_rows: int = 0
    remarks: tuple[str, ...] = ()


def draft_column(column: ColumnProfile) -> ColumnDraft:
    """Propose type, range, vocabulary and treatment of gaps for one column."""
    name = json.dumps(column.name, ensure_ascii=False)
    if column.present == 0:
        lines = (f"  - name: {name}", "    type: ignored  # no value in any row")
        return ColumnDraft(lines, remarks=(f"{name} is empty",))
    bad = 0
    remarks = [f"{name} is constant"] if column.constant else []
    if looks_like_identifier(column):
        body = ["    type: identifier  # no value occurs twice"]
    elif _is_boolean(column):
        body = ["    type: boolean", *_filled(column, _most_frequent_truth(column))]
    elif column.numbers >= MOSTLY * column.present and column.numbers > column.infinite:
        body = ["    type: numeric", *_range(column), *_filled(column, None)]
        if bad := column.present - column.numbers + column.infinite:
            remarks.append(f"{name}: {bad:,} values are no finite numbers; quarantine takes them")
    elif column.times == column.present:
        body = ["    type: timestamp"]
    elif column.levels is not None and _repeats(column):
        body = [*_levels(column), *_filled(column, json.dumps(_mode(column), ensure_ascii=False))]
    else:
        many = f"more than {MAX_LEVELS}" if column.levels is None else f"{len(column.levels)}"
        body = [f"    type: ignored  # text with {many} different values"]
        remarks.append(f"{name} is left out: text with {many} different values")
    gaps = [] if "ignored" in body[0] else _gaps(column)
    return ColumnDraft((f"  - name: {name}", *body, *gaps), bad, tuple(remarks))


def _is_boolean(column: ColumnProfile) -> bool:
    two = column.levels is not None and len(column.levels) == 2
    return two and column.booleans == column.present


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


def _most_frequent_truth(column: ColumnProfile) -> int:
    return int(_mode(column).lower() in ("true", "t", "yes", "y", "1"))


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


def _levels(column: ColumnProfile) -> list[str]:
    assert column.levels is not None
    levels = ", ".join(json.dumps(level, ensure_ascii=False) for level in sorted(column.levels))
    return [
        "    type: categorical",
        f"    vocabulary: [{levels}]",
        "    unseen: reject  # or other: score rows with a new level all the same",
    ]
