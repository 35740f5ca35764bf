"""A contract: what a data set must look like, read from YAML.

One file per data set states the source, every column with type, unit, meaning and allowed
values, the label and which of its values are anomalous, the checks with their severity, and how
the rows are split. Nothing here reads a table, so that importing this module stays quick.
"""

import difflib
import hashlib
import json
import re
from collections import Counter
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from data_checks.base.errors import ContractError
from data_checks.contract.columns import Column, ContractPart, Severity, Share
from data_checks.contract.sections import Drift, Label, RowCount, Rule, Sample, Scoring, Split
from data_checks.contract.source_settings import Source
from data_checks.contract.yaml_reading import Key, dotted, read_yaml

ANOMALY_COLUMN = "__anomaly__"
"""Derived int8 column: 1 anomaly, 0 normal, null when the label is not one of the known ones."""
ROW_ID = "row_id"
"""Derived int64 column: 0-based row in the source."""
UNPARSED_COLUMN = "__unparsed__"
"""Derived text column: the values of this row that could not be read as their declared type."""
_KEYS_ADDED = {"decimal": ".", "thousands": ""}
"""Keys of `source` that came later: a contract without them keeps its digest."""

_NAME = re.compile(r"\w(?:[\w .-]{0,58}\w)?")


def _plain_name(name: str) -> str:
    """Files, folders, models, experiments and tags are named from a contract's name."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            "a name is up to 60 letters, digits, '_', '-', '.' and blanks; it begins and ends with "
            "a letter, digit or '_'"
        )
    return name


class Contract(ContractPart):
    """What one data set must look like. See the module's description."""

    name: Annotated[str, AfterValidator(_plain_name)] = Field(
        description="Name of the data set; its model is dagmm-NAME"
    )
    title: str = Field("", description="One line for the reader")
    source: Source = Field(description="Where the rows come from")
    columns: tuple[Column, ...] = Field(description="Every column, in order")
    label: Label | None = Field(None, description="The label, if there is one")
    slice_column: str | None = Field(
        None, description="Detection is also reported for each value of this column"
    )
    anomaly_ratio: Share | None = Field(None, description="Expected share of anomalies")
    ratio_tolerance: Share = Field(0.05, description="How far the share may be from it")
    ratio_severity: Severity = Field("warning", description="What a share beyond that means")
    rows: RowCount = Field(RowCount(), description="How many rows the table must have")
    extra_columns: Literal["refuse", "ignore"] = Field(
        "refuse", description="What to do with columns of the source that are not listed"
    )
    sample: Sample | None = Field(None, description="Keep a random subset of one class")
    rules: tuple[Rule, ...] = Field((), description="Conditions across the columns of a row")
    max_quarantine_share: Share = Field(0.01, description="Tolerated share of bad rows")
    split: Split = Field(Split(), description="How rows are divided")
    drift: Drift = Field(Drift(), description="From which distance on a column has drifted")
    scoring: Scoring = Field(
        Scoring(), description="What becomes of rows that training would quarantine"
    )
    promotion: dict[str, bool | int | float | str | tuple[str, ...]] = Field(
        default_factory=dict, description="The promotion policy of this data set's models"
    )

    @model_validator(mode="after")
    def consistent(self) -> Self:
        """The contract, unless parts of it contradict each other."""
        from data_checks.contract.expressions import names_in

        names = [column.name for column in self.columns]
        if self.label is not None:
            names.append(self.label.column)
        if not self.feature_columns:
            raise ValueError("no numeric, categorical or boolean column: nothing to learn from")
        if twice := sorted(name for name, count in Counter(names).items() if count > 1):
            raise ValueError(f"column named twice: {', '.join(twice)}")
        readable = {c.name for c in self.columns if c.type != "ignored"}
        for rule in self.rules:
            if unknown := sorted(names_in(rule.check) - readable):
                raise ValueError(f"rule {rule.name!r} uses unknown column {', '.join(unknown)}")
        kinds = {column.name: column.type for column in self.columns}
        for field, column, usable in (
            ("slice_column", self.slice_column, {*kinds.values()}),
            ("split.group_column", self.split.group_column, {*kinds.values()} - {"ignored"}),
            ("split.time_column", self.split.time_column, {"timestamp", "numeric"}),
        ):
            if column is not None and column not in names:
                raise ValueError(f"{field} {column!r} is not a column")
            if column in kinds and kinds[column] not in usable:
                raise ValueError(
                    f"{field} {column!r} is of type {kinds[column]}; it needs to be "
                    + ("a timestamp or numeric" if "time" in field else "kept, e.g. an identifier")
                )
        position = 0 if self.label is None else self.label.position or 0
        if not 0 <= position <= len(self.columns):
            raise ValueError(f"label.position must lie in [0, {len(self.columns)}]")
        if self.label is None and (self.sample is not None or self.anomaly_ratio is not None):
            raise ValueError("sample and anomaly_ratio need a label")
        return self

    @property
    def feature_columns(self) -> tuple[Column, ...]:
        """The columns a model sees, in order."""
        return tuple(c for c in self.columns if c.is_feature)

    @property
    def stored_columns(self) -> tuple[Column, ...]:
        """The columns kept by `ingest`, in order: all but the ignored ones; the label not."""
        return tuple(c for c in self.columns if c.type != "ignored")

    @property
    def source_names(self) -> tuple[str, ...]:
        """All columns expected in the source, in order, the label at its position."""
        names = [column.name for column in self.columns]
        if self.label is not None:
            position = len(names) if self.label.position is None else self.label.position
            names.insert(position, self.label.column)
        return tuple(names)

    @property
    def encoded_width(self) -> int:
        """Columns of the numeric matrix after one-hot encoding."""
        return sum(column.encoded_width for column in self.feature_columns)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the contract's canonical JSON: equal contracts, equal digest."""
        content = self.model_dump(mode="json")
        for name, default in _KEYS_ADDED.items():
            if content["source"].get(name) == default:
                del content["source"][name]
        canonical = json.dumps(content, sort_keys=True, allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def shipped_contracts() -> tuple[str, ...]:
    """Names of the contracts that come with the package."""
    folder = resources.files("data_checks") / "contracts"
    names = (item.name for item in folder.iterdir())
    return tuple(sorted(name[: -len(".yaml")] for name in names if name.endswith(".yaml")))


def load_contract(name_or_path: str | Path) -> Contract:
    """Read a shipped contract by name, or any contract by path.

    Raises:
        ContractError: with file, key and line of what is wrong, at most five at once.
    """
    path = _resolve(name_or_path)
    data, lines = read_yaml(path)
    try:
        return Contract.model_validate(data)
    except ValidationError as error:
        raise ContractError(_message(path, error, lines)) from error


def contract_json_schema() -> dict[str, Any]:
    """JSON Schema of a contract file, for editors."""
    schema = Contract.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def _resolve(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    if (
        text.endswith((".yaml", ".yml"))
        or isinstance(name_or_path, Path)
        or Path(text).name != text
    ):
        return Path(text)
    shipped = shipped_contracts()
    if text in shipped:
        return Path(str(resources.files("data_checks") / "contracts" / f"{text}.yaml"))
    close = difflib.get_close_matches(text, shipped, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise ContractError(
        f"no shipped contract is called {text!r}.{hint} Shipped: {', '.join(shipped)}; "
        "or give the path of a contract file ending in .yaml."
    )


def _message(path: Path, error: ValidationError, lines: dict[Key, int]) -> str:
    problems = []
    for item in error.errors()[:5]:
        key = _known_key(item["loc"], lines)
        problem = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            problem = "unknown key"
        elif item["type"] == "missing":
            problem = f"key '{item['loc'][-1]}' is missing"
        elif item["type"] == "string_type":
            problem = f"{item['input']!r} is not text; put it in quotes"
        problems.append(f"{path}, line {lines.get(key, 1)}: '{dotted(key)}': {problem}")
    more = len(error.errors()) - len(problems)
    return "; ".join(problems) + (f"; and {more} more" if more else "")


def _known_key(location: tuple[str | int, ...], lines: dict[Key, int]) -> Key:
    """The longest part of pydantic's location that is in the file.

    Pydantic adds the chosen member of a union to the path; such parts are skipped.
    """
    key: Key = ()
    for part in location:
        if (*key, part) in lines:
            key = (*key, part)
    return key
