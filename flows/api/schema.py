"""OpenAPI of the server: what its contract takes, with a row that was kept with the version."""

from typing import Any

from pydantic import BaseModel, Field

from data_checks.contract.columns import Column
from data_checks.contract.model import Contract
from flows.api.bodies import CSV, INPUTS, INSTANCES, JSON, RECORDS, ROWS, SPLIT
from flows.api.model import ServedModel

KINDS = {"numeric": "number", "categorical": "string", "boolean": "boolean"}


class Reason(BaseModel):
    """A column, and its share in what makes the row strange."""

    column: str
    share: float = Field(description="Of 1")


class ScoredRow(BaseModel):
    """The verdict on one row."""

    energy: float = Field(description="Nats; higher is more anomalous")
    p_value: float = Field(description="Share of held-out normal rows at least as energetic")
    is_anomaly: bool = Field(description="Whether the energy lies above the threshold")
    reasons: list[Reason] | None = Field(description="Of anomalies, or as `reasons` asks for")
    component: int | None = Field(description="Nearest component of the mixture")
    remarks: str | None = Field(description="What the row breaks and is scored nevertheless")


class ScoreAnswer(BaseModel):
    """Verdicts in the order of the rows, all of one version."""

    model: str = Field(description="models:/NAME/VERSION")
    version: int
    threshold: float
    rows: list[ScoredRow]


class Prediction(BaseModel):
    """The verdict on one row, as MLflow's server gives it."""

    energy: float
    p_value: float
    is_anomaly: bool
    threshold: float


class Predictions(BaseModel):
    """Verdicts in the order of the rows, all of one version."""

    predictions: list[Prediction]
    model: str = Field(description="models:/NAME/VERSION")


class RejectedRow(BaseModel):
    """A row that cannot be scored."""

    row: int = Field(description="From 0")
    reasons: str


class RowRefusal(BaseModel):
    """Why there is no verdict."""

    error_code: str
    message: str = Field(description="One sentence: what is wrong, and what to do")
    rejected: list[RejectedRow] | None = None


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {
        "model": RowRefusal,
        "description": "A row, a column or the body is not what it should be",
    },
    401: {"model": RowRefusal, "description": "The token is absent or another one"},
    403: {"model": RowRefusal, "description": "Another host name, or a page of another server"},
    408: {"model": RowRefusal, "description": "The body did not arrive in time"},
    413: {"model": RowRefusal, "description": "Too many bytes or rows"},
    415: {"model": RowRefusal, "description": "Neither JSON nor CSV"},
    503: {"model": RowRefusal, "description": "No version is served yet"},
}


def row_schema(contract: Contract) -> dict[str, Any]:
    """JSON Schema of a raw row.

    Limits stand where values beyond them are refused; else they are said, for such rows are scored
    and marked.
    """
    strict = contract.scoring.outside == "reject"
    return {
        "title": f"Row of {contract.name}",
        "type": "object",
        "description": contract.title or f"Raw values of the contract {contract.name!r}",
        "properties": {c.name: _column(c, strict) for c in contract.feature_columns},
        "required": [c.name for c in contract.feature_columns],
    }


def _column(column: Column, strict: bool) -> dict[str, Any]:
    kind = KINDS[column.type]
    definition: dict[str, Any] = {"type": [kind, "null"] if column.nullable else kind}
    description = [column.meaning, f"in {column.unit}" if column.unit else ""]
    limits = {"minimum": column.minimum, "maximum": column.maximum}
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    if strict and column.severity == "critical":
        definition |= limits
    elif limits:
        description.append(
            ", ".join(f"{name} {limit:g}" for name, limit in limits.items()) + " expected"
        )
    if column.vocabulary and strict and column.unseen == "reject":
        definition["enum"] = [*column.vocabulary, *([None] if column.nullable else [])]
    elif column.vocabulary:
        definition["examples"] = list(column.vocabulary[:20])
    if text := "; ".join(part for part in description if part):
        definition["description"] = text
    return definition


def request_body(model: ServedModel, *, mlflow: bool) -> dict[str, Any]:
    """The body of a request, as OpenAPI describes it.

    Args:
        model: Gives names and an example.
        mlflow: Whether MLflow's forms come first.
    """
    row = {"$ref": "#/components/schemas/Row"}
    several = {"type": "array", "items": row}
    split = {
        "type": "object",
        "properties": {
            "columns": {"type": "array", "items": {"type": "string"}},
            "data": {"type": "array", "items": {"type": "array", "items": {}}},
        },
        "required": ["columns", "data"],
    }
    forms = {ROWS: several, SPLIT: split, RECORDS: several, INSTANCES: several, INPUTS: several}
    objects = [
        {"type": "object", "properties": {name: form}, "required": [name]}
        for name, form in forms.items()
    ]
    names, values = list(model.example), list(model.example.values())
    example: dict[str, Any] = {ROWS: [model.example]}
    if mlflow:
        example = {SPLIT: {"columns": names, "data": [values]}}
    return {
        "required": True,
        "content": {
            JSON: {"schema": {"oneOf": [*objects, several]}, "example": example},
            CSV: {"schema": {"type": "string", "description": "A header, commas, UTF-8"}},
        },
    }
