"""One column of a contract: its type, meaning and allowed values."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Severity = Literal["critical", "warning", "info"]
ColumnType = Literal["numeric", "categorical", "boolean", "identifier", "timestamp", "ignored"]

Outside = Literal["mark", "reject"]
"""What becomes of a row to be scored with a level outside its vocabulary or a number outside its
range: scored and marked, or rejected."""

Share = Annotated[float, Field(ge=0, le=1)]

FEATURE_TYPES = frozenset({"numeric", "categorical", "boolean"})
RESERVED_NAMES = frozenset({"row_id", "reasons"})
FLOAT32_MAX = 3.4028234663852886e38
"""Largest finite float32: models compute in float32, so larger values cannot be scored."""


def is_reserved(name: str) -> bool:
    """Whether a name is one of the pipeline's own, such as pandas' `__index_level_0__`."""
    return name in RESERVED_NAMES or name.startswith("__")


class ContractPart(BaseModel):
    """Base of all contract parts: immutable, unknown keys refused, no coercion of types."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )


def _level(value: Any) -> Any:
    # YAML reads 0 and 1.5 as numbers and no/yes as booleans; the first are unmistakable as text.
    if isinstance(value, bool):
        raise ValueError(f"{value} was read as a boolean; put the level in quotes")
    return str(value) if isinstance(value, int | float) else value


Level = Annotated[str, BeforeValidator(_level)]


class Column(ContractPart):
    """One column.

    A value that cannot be read as `type`, a missing value in a column that is not `nullable`, and
    a number that float32 cannot hold always send the row to quarantine. `severity` is that of the
    range rule (`minimum`, `maximum`, both inclusive): `critical` quarantines the row, `warning`
    and `info` keep and report it. For a categorical column `unseen` decides: `reject` quarantines
    a row with a level outside `vocabulary`, `other` keeps it (an all-zero one-hot block) and
    reports a warning. `drop_levels` are levels without a one-hot column of their own.
    """

    name: str = Field(description="Name in the source")
    type: ColumnType = Field(
        description="numeric, categorical and boolean are seen by the model; the others are not"
    )
    unit: str = Field("", description="For the reader")
    meaning: str = Field("", description="For the reader")
    minimum: float | None = Field(None, description="Smallest allowed number")
    maximum: float | None = Field(None, description="Largest allowed number")
    vocabulary: tuple[Level, ...] = Field((), description="Levels of a categorical column")
    drop_levels: tuple[Level, ...] = Field(
        (), description="Levels without a one-hot column of their own"
    )
    unseen: Literal["reject", "other"] = Field(
        "reject", description="A level outside the vocabulary: quarantine, or keep and report"
    )
    nullable: bool = Field(False, description="Whether values may be missing")
    max_null_share: Share = Field(
        0.5, description="Tolerated share of missing values of a nullable column"
    )
    impute: Literal["none", "median", "constant"] = Field(
        "none", description="What fills a gap when rows are encoded"
    )
    impute_value: int | float | str | None = Field(
        None, description="The constant of impute: constant"
    )
    timestamp_format: str | None = Field(
        None, description="strptime format of a timestamp column; ISO 8601 unless given"
    )
    severity: Severity = Field(
        "critical", description="Outside minimum and maximum: quarantine, or keep and report"
    )

    @property
    def is_feature(self) -> bool:
        """Whether the model sees this column."""
        return self.type in FEATURE_TYPES

    @property
    def encoded_width(self) -> int:
        """Columns of the numeric matrix that this column becomes."""
        if self.type == "categorical":
            return len(self.vocabulary) - len(self.drop_levels)
        return 1 if self.is_feature else 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problem = (
            self._name_problem()
            or self._value_problem()
            or self._vocabulary_problem()
            or self._null_problem()
        )
        if problem:
            raise ValueError(f"column {self.name!r}: {problem}")
        return self

    def _name_problem(self) -> str | None:
        if not self.name or not self.name.isprintable() or self.name != self.name.strip():
            return "a name is printable text without surrounding spaces"
        if is_reserved(self.name):
            return "this name is reserved; rename the column in the source"
        return None

    def _value_problem(self) -> str | None:
        if self.type != "numeric" and not (self.minimum is None and self.maximum is None):
            return f"minimum and maximum are for numeric columns, this one is {self.type}"
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        if low > high:
            return f"minimum {low} exceeds maximum {high}"
        if self.timestamp_format is not None and self.type != "timestamp":
            return "timestamp_format is for timestamp columns"
        return None

    def _vocabulary_problem(self) -> str | None:
        if self.type != "categorical":
            if self.vocabulary or self.drop_levels or self.unseen != "reject":
                return "vocabulary, drop_levels and unseen are for categorical columns"
            return None
        if not self.vocabulary:
            return "a categorical column needs its vocabulary; `dagmm contract FILE` drafts it"
        if len(set(self.vocabulary)) < len(self.vocabulary):
            return "a level is listed twice in the vocabulary"
        if strangers := set(self.drop_levels) - set(self.vocabulary):
            return f"drop_levels {sorted(strangers)} are not in the vocabulary"
        return None

    def _null_problem(self) -> str | None:
        if self.impute == "none":
            if self.impute_value is not None:
                return "impute_value needs impute: constant"
            if self.nullable and self.is_feature:
                return "a nullable feature needs impute: median or constant; no model scores a gap"
            return None
        if not self.is_feature or not self.nullable:
            return "impute is for nullable features"
        if self.impute == "median":
            return None if self.type == "numeric" else "impute: median is for numeric columns"
        return self._constant_problem()

    def _constant_problem(self) -> str | None:
        value = self.impute_value
        if value is None:
            return "impute: constant needs impute_value"
        if self.type == "categorical":
            ok = str(value) in self.vocabulary
            return None if ok else f"impute_value {value!r} is not in the vocabulary"
        if not isinstance(value, int | float):
            return f"impute_value {value!r} is not a number"
        if self.type == "boolean" and value not in (0, 1):
            return "impute_value of a boolean is 0 or 1"
        return None
