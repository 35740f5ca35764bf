"""A first contract for a table that has none: commented, and true of that table."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from data_checks.base.errors import SourceError
from data_checks.base.locations import file_location, is_url
from data_checks.base.visible import quoted, visible
from data_checks.contract.column_names import listed
from data_checks.contract.model import Contract
from data_checks.contract.yaml_reading import MAX_BYTES
from data_checks.drafting.column_lines import draft_column
from data_checks.drafting.label_lines import draft_label
from data_checks.drafting.profile import TableProfile
from data_checks.drafting.table_opening import OpenedTable, open_table


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
        SourceError: the table cannot be read, has no rows or no such column, or has more columns
            than a contract has room for.
    """
    place = file_location(str(location))
    place = place if is_url(place) else str(Path(place).resolve())
    opened, profile = open_table(place, label)
    if profile.rows == 0:
        raise SourceError(f"{place}: the table has no rows.")
    text, remarks = _write(place, opened, profile, label)
    if (size := len(text.encode())) > MAX_BYTES:
        columns = len(profile.columns)
        raise SourceError(
            f"{place}: a contract of its {columns:,} columns takes {size:,} bytes, and no more "
            f"than {MAX_BYTES:,} are read; write the table with those columns that the detector "
            f"shall see. About {columns * MAX_BYTES // size:,} have room."
        )
    try:
        contract = Contract.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        remedy = "" if "rename" in problem else "; rename the column in the table"
        if opened.settings is not None and opened.settings.encoding != "utf-8":
            remedy += f". It was read as {opened.settings.encoding}; perhaps save it as UTF-8"
        raise SourceError(f"{place}: {problem}{remedy}.") from error
    return Draft(text, contract, tuple(visible(remark) for remark in remarks))


def _nothing_to_learn(
    place: str, opened: OpenedTable, profile: TableProfile, remarks: Sequence[str]
) -> str:
    why = "".join(f"; {remark}" for remark in remarks[:5])
    message = f"{place}: no column looks like a feature; nothing to learn from{why}."
    if opened.settings is None or len(profile.columns) > 1:
        return message
    examples = profile.texts(profile.columns[0].name)
    shown = f", for example {examples[0][:60]!r}" if examples else ""
    return (
        f"{message} Every line is one field{shown}: it splits at none of , ; | and tab. Write the "
        "table with one of these between its values."
    )


def _write(
    place: str, opened: OpenedTable, profile: TableProfile, label: str | None
) -> tuple[str, list[str]]:
    source = opened.lines
    remarks = list(opened.doubts)
    bad_rows = 0
    columns: list[str] = []
    together: dict[str, list[str]] = {}
    for column in profile.columns:
        if column.name != label:
            drafted = draft_column(column, profile.texts(column.name))
            columns += drafted.lines
            bad_rows += drafted.bad_rows
            remarks += drafted.remarks
            together.setdefault(drafted.told_together, []).append(column.name)
    if flags := together.get("zero and one"):
        remarks.append(
            f"{listed(flags)}: 0 and 1 only, drafted as boolean, which refuses any other number; "
            "numeric is for what counts or measures"
        )
    if unseen := together.get("left out"):
        remarks.append(f"{listed(unseen)}: the model does not see identifiers and times")
    headerless = any("header: false" in line for line in source)
    label_lines: list[str] = []
    if label is not None:
        label_column = next(column for column in profile.columns if column.name == label)
        position = [c.name for c in profile.columns].index(label) if headerless else None
        label_lines, leaks = draft_label(label_column, profile, position)
        remarks += leaks
        bad_rows += label_column.missing
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
        raise SourceError(_nothing_to_learn(place, opened, profile, remarks))
    allowed = max(0.01, math.ceil(1.1 * bad_rows / profile.rows * 1000) / 1000)
    name = re.sub(r"\W+", "_", Path(place).name.split(".")[0]).strip("_").lower()[:60] or "table"
    confined = [] if is_url(place) else ["  confined: false  # the path is absolute"]
    lines = [
        f"# Drafted from {profile.rows:,} rows. Read every line: a profile knows what was there,",
        "# not what is right.",
        *(f"# LOOK: {visible(remark)}." for remark in remarks),
        f"name: {json.dumps(name)}",
        f"title: {json.dumps(name)}",
        "source:",
        source[0],
        f"  file: {quoted(place)}",
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
