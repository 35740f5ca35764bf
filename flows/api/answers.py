"""From the body of a request to verdicts in JSON: in full, or in MLflow's form."""

from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import to_json

from dagmm_model.detectors.bundle import Explained, Reasons, Scores
from data_checks.rows.rows import RowCheck
from flows.api.bodies import request_columns
from flows.api.model import ServedModel
from flows.scoring.rows import largest_shares

DIGITS = 4


@dataclass(frozen=True)
class Asked:
    """What a request asks of the rows in its body.

    Attributes:
        content_type: Of the body.
        max_rows: Most rows that are taken.
        in_full: As `/score` answers; else as `/invocations`.
        explain: Which rows get reasons.
        top: How many of them.
    """

    content_type: str
    max_rows: int
    in_full: bool
    explain: Explained = "none"
    top: int = 0


def answer(model: ServedModel, asked: Asked, body: bytes) -> tuple[bytes, Scores]:
    """The answer, and what it says of the rows, for the metrics.

    Raises:
        Refused: The body cannot be read, or a row not be scored.
    """
    columns, _ = request_columns(body, asked.content_type, model.names, asked.max_rows)
    checked, scores = model.judge(columns, asked.explain)
    if asked.in_full:
        message = in_full(model, checked, scores, asked.top)
    else:
        message = as_mlflow(model, scores)
    return message, replace(scores, reasons=None)


def in_full(model: ServedModel, checked: RowCheck, scores: Scores, top: int) -> bytes:
    """The version, its threshold, and of each row verdict, reasons and remarks."""
    reasons = _reasons(scores.reasons, top)
    rows = [
        {
            "energy": energy,
            "p_value": p_value,
            "is_anomaly": is_anomaly,
            "reasons": explained[0],
            "component": explained[1],
            "remarks": remarks,
        }
        for energy, p_value, is_anomaly, remarks, explained in zip(
            scores.energy.tolist(),
            scores.p_value.tolist(),
            scores.is_anomaly.tolist(),
            checked.remarks.tolist(),
            (reasons.get(row, (None, None)) for row in range(len(scores.energy))),
            strict=True,
        )
    ]
    return to_json(
        {"model": model.uri, "version": model.number, "threshold": model.threshold, "rows": rows}
    )


def as_mlflow(model: ServedModel, scores: Scores) -> bytes:
    """`predictions` as MLflow's server gives them, and the version beside them."""
    threshold = model.threshold
    predictions = [
        {"energy": energy, "p_value": p_value, "is_anomaly": flag, "threshold": threshold}
        for energy, p_value, flag in zip(
            scores.energy.tolist(), scores.p_value.tolist(), scores.is_anomaly.tolist(), strict=True
        )
    ]
    return to_json({"predictions": predictions, "model": model.uri})


def _reasons(
    reasons: Reasons | None, top: int
) -> dict[int, tuple[list[dict[str, Any]], int | None]]:
    """Of explained rows the columns with the largest shares, and the nearest component."""
    if reasons is None or not len(reasons.rows):
        return {}
    order = largest_shares(reasons.shares, min(top, reasons.shares.shape[1]))
    return {
        row: (
            [
                {"column": reasons.columns[place], "share": round(float(shares[place]), DIGITS)}
                for place in places
                if round(float(shares[place]), 2) > 0
            ],
            component if component >= 0 else None,
        )
        for row, places, shares, component in zip(
            reasons.rows.tolist(),
            order.tolist(),
            reasons.shares,
            reasons.component.tolist(),
            strict=True,
        )
    }
