"""A first contract for a table that has none: commented, and true of that table."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml
from pydantic import ValidationError

from data_checks.column_lines import draft_column
from data_checks.contract import Contract
from data_checks.errors import SourceError
from data_checks.locations import file_location, is_url
from data_checks.profile import (
    ColumnProfile,
    TableProfile,
    looks_like_identifier,
    profile_batches,
    separation,
)
from data_checks.readers.head import header_names
from data_checks.readers.matlab import describe_mat, read_mat
from data_checks.readers.parquet import parquet_schema, read_parquet
from data_checks.readers.sniffing import sniff
from data_checks.readers.text import read_csv
from data_checks.source_settings import MatSource

_LEAK = 0.995
_MAX_LABELS = 100


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
        location: delimited text (also compressed), Parquet or `.mat`; path or URL of an
            object store.
        label: the column that holds the label; its most frequent value is proposed as normal.

    Raises:
        SourceError: the table cannot be read, has no rows, or has no such column.
    """
    place = file_location(str(location))
    place = place if is_url(place) else str(Path(place).resolve())
    names, source, batches = _open(place, label)
    if label is not None and label not in names:
        raise SourceError(f"{place}: there is no column '{label}' to take as label.")
    profile = profile_batches(batches, names)
    if profile.rows == 0:
        raise SourceError(f"{place}: the table has no rows.")
    text, remarks = _write(place, source, profile, label)
    try:
        contract = Contract.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise SourceError(f"{place}: {said}; rename the column in the table.") from error
    return Draft(text, contract, tuple(remarks))


def _open(place: str, label: str | None) -> tuple[list[str], list[str], Iterator[pa.RecordBatch]]:
    if place.lower().endswith((".parquet", ".pq")) or (not is_url(place) and Path(place).is_dir()):
        schema = parquet_schema(place)
        names = [field.name for field in schema if not pa.types.is_nested(field.type)]
        lines = ["  kind: parquet"]
        if nested := [name for name in schema.names if name not in names]:
            shown = json.dumps(nested, ensure_ascii=False)
            lines.append(f"extra_columns: ignore  # {shown} hold lists or structures")
        return names, lines, read_parquet(place, names, names, extra="ignore")
    if place.lower().endswith(".mat"):
        return _open_mat(place, label)
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


def _open_mat(
    place: str, label: str | None
) -> tuple[list[str], list[str], Iterator[pa.RecordBatch]]:
    features, width, vectors = describe_mat(place)
    if label is not None and label not in vectors:
        found = ", ".join(vectors) or "none"
        raise SourceError(f"{place}: no vector '{label}' to take as label; there is: {found}.")
    names = [f"x{i}" for i in range(1, width + 1)]
    source = MatSource(kind="mat", features=features, labels=label or "y")
    lines = ["  kind: mat", f"  features: {json.dumps(features)}"]
    lines += [f"  labels: {json.dumps(label)}"] if label is not None else []
    every = names if label is None else [*names, label]
    return every, lines, read_mat(place, source, names, label)


def _write(
    place: str, source: list[str], profile: TableProfile, label: str | None
) -> tuple[str, list[str]]:
    remarks: list[str] = []
    bad_rows = 0
    columns: list[str] = []
    for column in profile.columns:
        if column.name != label:
            drafted = draft_column(column)
            columns += drafted.lines
            bad_rows += drafted.bad_rows
            remarks += drafted.remarks
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
