"""A first contract for a table that has none: commented, and true of that table."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from data_checks.contract import Contract
from data_checks.errors import SourceError
from data_checks.profile import (
    MAX_LEVELS,
    ColumnProfile,
    TableProfile,
    looks_like_identifier,
    profile_batches,
    separation,
)
from data_checks.readers.opening import is_url
from data_checks.readers.parquet import parquet_schema, read_parquet
from data_checks.readers.sniffing import sniff
from data_checks.readers.text import header_names, read_csv

HEAD_ROOM = 0.25
"""Ranges reach this share of the observed span beyond what was observed."""
_LEAK = 0.995
_MAX_LABELS = 100
_MOSTLY = 0.8


@dataclass(frozen=True)
class Draft:
    """A drafted contract.

    Attributes:
        text: the commented YAML file.
        contract: the same, loaded.
        remarks: what a person should look at, one line each.
    """

    text: str
    contract: Contract
    remarks: tuple[str, ...]


def draft_contract(location: Path | str, *, label: str | None = None) -> Draft:
    """Profile a table and write a contract that it satisfies.

    Args:
        location: delimited text (also compressed) or Parquet; path or fsspec URL.
        label: the column that holds the label; its most frequent value is proposed as normal.

    Raises:
        SourceError: the table cannot be read, has no rows, or has no such column.
    """
    place = str(location) if is_url(str(location)) else str(Path(location).resolve())
    names, source, batches = _open(place)
    if label is not None and label not in names:
        raise SourceError(f"{place}: there is no column '{label}' to take as label.")
    profile = profile_batches(batches, names)
    if profile.rows == 0:
        raise SourceError(f"{place}: the table has no rows.")
    text, remarks = _write(place, source, profile, label)
    contract = Contract.model_validate(yaml.safe_load(text))
    return Draft(text, contract, tuple(remarks))


def _open(place: str) -> tuple[list[str], list[str], Iterator[pa.RecordBatch]]:
    if place.lower().endswith((".parquet", ".pq")) or (not is_url(place) and Path(place).is_dir()):
        names = parquet_schema(place).names
        return names, ["  kind: parquet"], read_parquet(place, names, names, extra="refuse")
    if place.lower().endswith(".mat"):
        raise SourceError(
            f"{place}: contracts for .mat files are written by hand; see the shipped 'thyroid'."
        )
    settings, head = sniff(place)
    names = (
        header_names(head[0])
        if settings.header
        else [f"column_{i}" for i in range(1, len(head[0]) + 1)]
    )
    lines = ["  kind: csv"]
    if settings.delimiter != ",":
        lines.append(f"  delimiter: {json.dumps(settings.delimiter)}")
    if not settings.header:
        lines.append("  header: false  # no names in the first line; rename the columns below")
    if settings.encoding != "utf-8":
        lines.append(f"  encoding: {settings.encoding}  # the bytes are not UTF-8; check this")
    return names, lines, read_csv(place, settings, names, names, extra="refuse")


def _write(
    place: str, source: list[str], profile: TableProfile, label: str | None
) -> tuple[str, list[str]]:
    remarks: list[str] = []
    bad_rows = 0
    columns: list[str] = []
    for column in profile.columns:
        if column.name != label:
            lines, bad, remark = _column(column)
            columns += lines
            bad_rows += bad
            remarks += remark
    headerless = any("header: false" in line for line in source)
    label_lines: list[str] = []
    if label is not None:
        found = next(column for column in profile.columns if column.name == label)
        position = [c.name for c in profile.columns].index(label) if headerless else None
        label_lines, leaks = _label(found, profile, position)
        remarks += leaks
        bad_rows += found.missing
    else:
        label_lines = [
            "# Without a label the detector trains and scores, but cannot be evaluated.",
            "# label:",
            "#   column: NAME",
            "#   normal: [LEVEL]",
            "#   anomalous: [LEVEL]",
        ]
    if profile.duplicates:
        share = profile.duplicates / profile.rows
        remarks.append(
            f"{profile.duplicates:,} rows ({share:.1%}) repeat an earlier row; consider "
            "split.group_duplicates, which keeps identical rows on one side of the split"
        )
    if not any("type: numeric" in c or "type: cat" in c or "type: bool" in c for c in columns):
        raise SourceError(f"{place}: no column looks like a feature; nothing to learn from.")
    allowed = max(0.01, math.ceil(1.1 * bad_rows / profile.rows * 1000) / 1000)
    name = re.sub(r"\W+", "_", Path(place).name.split(".")[0]).strip("_").lower() or "table"
    confined = [] if is_url(place) else ["  confined: false  # the path is absolute"]
    lines = [
        f"# Drafted from {profile.rows:,} rows. Read every line: a profile knows what was there,",
        "# not what is right.",
        *(f"# LOOK: {remark}." for remark in remarks),
        f"name: {json.dumps(name)}",
        f"title: {json.dumps(name)}",
        "source:",
        source[0],
        f"  file: {json.dumps(place, ensure_ascii=False)}",
        *confined,
        *source[1:],
        "columns:",
        *columns,
        *label_lines,
        f"max_quarantine_share: {min(1.0, allowed):g}  # share of bad rows that is tolerated",
        "split: {train: 0.6, validation: 0.2, test: 0.2, group_duplicates: false}",
        "",
    ]
    return "\n".join(lines), remarks


def _column(column: ColumnProfile) -> tuple[list[str], int, list[str]]:
    """The lines for one column, how many rows it will send to quarantine, and remarks."""
    name = json.dumps(column.name, ensure_ascii=False)
    lines = [f"  - name: {name}"]
    gaps = [f"    nullable: true  # {column.missing:,} missing"] if column.missing else []
    share = min(1.0, column.missing / column.rows + 0.1)
    limit = [f"    max_null_share: {share:.2f}"] if share > 0.5 else []
    remark = [f"{name} is constant"] if column.constant else []
    if column.present == 0:
        return [*lines, "    type: ignored  # no value in any row"], 0, [f"{name} is empty"]
    if looks_like_identifier(column):
        if column.missing:
            return [*lines, "    type: identifier", *gaps, *limit], 0, remark
        return [*lines, "    type: identifier  # no value occurs twice"], 0, remark
    if column.booleans == column.present and column.levels is not None and len(column.levels) == 2:
        fill = _mode_is_true(column)
        return (
            [
                *lines,
                "    type: boolean",
                *gaps,
                *limit,
                *(
                    [f"    impute: constant\n    impute_value: {fill}  # most frequent"]
                    if gaps
                    else []
                ),
            ],
            0,
            remark,
        )
    if column.numbers >= _MOSTLY * column.present and column.numbers > column.infinite:
        bad = column.present - column.numbers + column.infinite
        if bad:
            remark.append(
                f"{name}: {bad:,} values are no finite numbers; their rows go to quarantine"
            )
        fill_lines = ["    impute: median"] if gaps else []
        return (
            [*lines, "    type: numeric", *_range(column), *gaps, *limit, *fill_lines],
            bad,
            remark,
        )
    if column.times == column.present:
        return [*lines, "    type: timestamp", *gaps, *limit], 0, remark
    if column.levels is not None and (
        len(column.levels) <= 20 or 2 * len(column.levels) <= column.present
    ):
        return [*lines, *_levels(column), *gaps, *limit, *_most_frequent(column, gaps)], 0, remark
    many = f"more than {MAX_LEVELS}" if column.levels is None else f"{len(column.levels)}"
    why = f"text with {many} different values"
    return [*lines, f"    type: ignored  # {why}"], 0, [f"{name} is left out: {why}"]


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
    limit = 3.4e38
    return float(min(limit, max(-limit, direction(value / scale) * scale)))


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


def _most_frequent(column: ColumnProfile, gaps: list[str]) -> list[str]:
    if not gaps or not column.levels:
        return []
    level = json.dumps(column.levels.most_common(1)[0][0], ensure_ascii=False)
    return ["    impute: constant", f"    impute_value: {level}  # most frequent"]


def _mode_is_true(column: ColumnProfile) -> int:
    assert column.levels is not None
    return int(column.levels.most_common(1)[0][0].lower() in ("true", "t", "yes", "y", "1"))


def _label(
    column: ColumnProfile, profile: TableProfile, position: int | None
) -> tuple[list[str], list[str]]:
    if column.levels is None or len(column.levels) > _MAX_LABELS:
        raise SourceError(f"column '{column.name}' has too many different values for a label.")
    if not column.levels:
        raise SourceError(f"column '{column.name}' is empty and cannot be the label.")
    counts = column.levels.most_common()
    normal, anomalous = counts[0][0], [level for level, _ in counts[1:]]
    shown = ", ".join(json.dumps(level, ensure_ascii=False) for level in anomalous)
    told = ", ".join(f"{level!r} {count:,}" for level, count in counts[:10])
    lines = [
        "label:",
        f"  column: {json.dumps(column.name, ensure_ascii=False)}",
        *([] if position is None else [f"  position: {position}  # counted from 0"]),
        f"  # observed: {_one_line(told)}. Check which values are normal.",
        f"  normal: [{json.dumps(normal, ensure_ascii=False)}]",
        f"  anomalous: [{shown}]" if anomalous else "  anomalous: []  # only one value was there",
    ]
    if anomalous:
        ratio = 1 - counts[0][1] / column.present
        lines += [
            f"anomaly_ratio: {ratio:.4f}  # with the labels above; change it when you change them",
            f"ratio_tolerance: {min(1.0, max(0.02, ratio / 2)):.3f}",
        ]
    return lines, _leaks(column, profile, normal)


def _leaks(column: ColumnProfile, profile: TableProfile, normal: str) -> list[str]:
    labels = np.array(profile.sample.column(column.name).to_pylist(), dtype=object)
    known = np.array([value is not None for value in labels])
    sample = profile.sample.filter(pa.array(known))
    anomalous = labels[known] != normal
    found = []
    for other in profile.columns:
        if other.name == column.name or other.present == 0:
            continue
        comparable = other.levels is not None or 2 * other.numbers > other.present
        if comparable and not looks_like_identifier(other):
            auc = separation(sample, other.name, anomalous)
            if auc >= _LEAK:
                found.append(
                    f"{json.dumps(other.name, ensure_ascii=False)} alone separates the labels "
                    f"(ROC AUC {auc:.3f}); make sure it is known when scoring"
                )
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())
