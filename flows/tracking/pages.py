"""How MLflow's page of an experiment opens: on the columns that tell its runs apart."""

from __future__ import annotations

import json

from mlflow.tracking import MlflowClient

VIEW = "dagmm"
TAG = f"mlflow.sharedViewState.{VIEW}"
"""Where MLflow's own *Share* button keeps a view; an address names it by its last part."""
NOTE = "mlflow.note.content"
COLUMNS: dict[str, int] = {
    "attributes.`Run Name`": 190,
    "attributes.`Created`": 110,
    "tags.`dagmm.decision`": 85,
    "tags.`dagmm.model_version`": 125,
    "tags.`dagmm.detector`": 70,
    "tags.`dagmm.seed`": 45,
    "metrics.`deployed/roc_auc`": 125,
    "metrics.`deployed/average_precision`": 110,
    "metrics.`deployed/recall`": 115,
    "metrics.`deployed/false_alarm_rate`": 125,
    "metrics.`paper/f1`": 90,
    "tags.`dagmm.preset`": 110,
    "tags.`dagmm.protocol`": 100,
    "metrics.`loss/total`": 90,
}
"""Columns in their order, with their widths in pixels: what decides fits a window of 1,440."""


def prepare(client: MlflowClient, experiment_id: str) -> None:
    """Give an experiment its view and a description that leads there; one that has it keeps it."""
    tags = client.get_experiment(experiment_id).tags
    view = json.dumps(
        {
            "selectedColumns": list(COLUMNS),
            "columnOrder": list(COLUMNS),
            "columnWidths": COLUMNS,
        }
    )
    if tags.get(TAG) != view:
        client.set_experiment_tag(experiment_id, TAG, view)
    if NOTE not in tags:
        client.set_experiment_tag(experiment_id, NOTE, _note(experiment_id))


def address(experiment_id: str) -> str:
    """Path of the page, with the view, below the address of MLflow."""
    query = f"viewStateShareKey={VIEW}&workflowType=machine_learning"
    return f"/#/experiments/{experiment_id}/runs?{query}"


def _note(experiment_id: str) -> str:
    return (
        f"[Runs side by side, with the columns that tell them apart]({address(experiment_id)}). "
        "Select some and press *Compare*, or open the charts for their losses in one.\n\n"
        "Search by tags, e.g. `` tags.`dagmm.seed` = '0' and metrics.`deployed/roc_auc` > 0.9 ``: "
        "`dagmm.dataset`, `dagmm.detector`, `dagmm.preset`, `dagmm.protocol`, `dagmm.seed`, "
        "`mlflow.source.git.commit`, `dagmm.decision`."
    )
