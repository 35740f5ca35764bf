"""How MLflow's page of an experiment opens: on the columns that tell its runs apart."""

from __future__ import annotations

import json

from mlflow.tracking import MlflowClient

VIEW = "dagmm"
TAG = f"mlflow.sharedViewState.{VIEW}"
"""Where MLflow's own *Share* button keeps a view; an address names it by its last part."""
RUN_NAME = "attributes.`Run Name`"
NOTE = "mlflow.note.content"
COLUMNS = {
    "tags": ("dagmm.detector", "dagmm.preset", "dagmm.protocol", "dagmm.seed"),
    "metrics": (
        *("deployed/roc_auc", "deployed/average_precision", "deployed/f1"),
        *("deployed/false_alarm_rate", "paper/f1", "loss/total"),
    ),
    "params": ("resolved.epochs", "resolved.learning_rate"),
    "attributes": ("Models",),
}


def prepare(client: MlflowClient, experiment_id: str) -> None:
    """Give an experiment its view and a description that leads there; one that has it keeps it."""
    tags = client.get_experiment(experiment_id).tags
    columns = [f"{kind}.`{name}`" for kind, names in COLUMNS.items() for name in names]
    view = json.dumps(
        {
            "selectedColumns": columns,
            # Names end with the seed, which the column's own width hides.
            "columnOrder": [RUN_NAME],
            "columnWidths": {RUN_NAME: 280},
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
