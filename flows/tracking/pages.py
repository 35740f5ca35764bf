"""How MLflow's page of an experiment opens: on the columns that tell its runs apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from mlflow.tracking import MlflowClient

VIEW = "dagmm"
TAG = f"mlflow.sharedViewState.{VIEW}"
"""Where MLflow's own *Share* button keeps a view; an address names it by its last part."""
NOTE = "mlflow.note.content"
NAMED: dict[str, int] = {"attributes.`Run Name`": 190, "attributes.`Created`": 110}
TRAINING: dict[str, int] = {
    "attributes.`Run Name`": 150,
    "attributes.`Created`": 150,
    "tags.`dagmm.decision`": 105,
    "tags.`dagmm.model_version`": 145,
    "tags.`dagmm.detector`": 90,
    "tags.`dagmm.seed`": 50,
    "metrics.`deployed/roc_auc`": 105,
    "metrics.`deployed/average_precision`": 110,
    "metrics.`deployed/recall`": 105,
    "metrics.`deployed/false_alarm_rate`": 105,
    "tags.`dagmm.test_rows`": 90,
    "metrics.`paper/f1`": 90,
    "tags.`dagmm.preset`": 110,
    "tags.`dagmm.protocol`": 100,
    "metrics.`loss/total`": 90,
}
"""Columns in their order, with their widths in pixels: what decides fits a window of 1,440.

MLflow puts *Created* second, and that wide, whatever is asked for.
"""
OTHERS: dict[str, dict[str, int]] = {
    "promotions": {"attributes.`Run Name`": 330, "attributes.`Created`": 110}
    | {"tags.`dagmm.decision`": 125, "tags.`dagmm.by`": 95, "tags.`dagmm.reasons`": 470},
    "monitoring": NAMED
    | {
        "tags.`dagmm.verdict`": 120,
        "metrics.`rows`": 80,
        "metrics.`alerts/rate`": 100,
        "metrics.`energy/psi`": 100,
        "metrics.`drifted_columns`": 120,
        "metrics.`version`": 80,
        "metrics.`checks`": 80,
    },
    "dagmm-benchmark": {"attributes.`Run Name`": 300}
    | {
        "params.`dataset`": 110,
        "params.`detector`": 150,
        "params.`protocol`": 110,
        "params.`seed`": 60,
        "metrics.`f1`": 90,
        "metrics.`roc_auc`": 90,
        "metrics.`average_precision`": 120,
        "metrics.`seconds`": 90,
    },
}
NOTES = {
    "promotions": "Every decision on a model, and every move of `production`; "
    "`dagmm history NAME` tells the same.",
    "monitoring": "The checks of each model in production, a run each, a step for every check.",
    "dagmm-benchmark": "Detectors compared over many splits: a run for each cell of the table.",
}


def prepare_experiment(client: MlflowClient, experiment: Experiment) -> None:
    """Give an experiment its view and a description that leads there; one that has it keeps it."""
    columns = OTHERS.get(experiment.name, TRAINING)
    view = json.dumps(
        {"selectedColumns": list(columns), "columnOrder": list(columns), "columnWidths": columns}
    )
    if experiment.tags.get(TAG) != view:
        _set_tag(client, experiment.experiment_id, TAG, view)
    if NOTE not in experiment.tags:
        note = _note(experiment.name, experiment.experiment_id)
        _set_tag(client, experiment.experiment_id, NOTE, note)


def _set_tag(client: MlflowClient, experiment_id: str, key: str, value: str) -> None:
    """Set a tag that other processes set, too: of two at once MLflow's database refuses one."""
    from mlflow.exceptions import MlflowException

    try:
        client.set_experiment_tag(experiment_id, key, value)
    except MlflowException:
        if client.get_experiment(experiment_id).tags.get(key) != value:
            raise


def page_address(experiment_id: str) -> str:
    """Path of the page, with the view, below the address of MLflow."""
    query = f"viewStateShareKey={VIEW}&workflowType=machine_learning"
    return f"/#/experiments/{experiment_id}/runs?{query}"


def _note(name: str, experiment_id: str) -> str:
    page = page_address(experiment_id)
    link = f"[Runs side by side, with the columns that tell them apart]({page})."
    if name in NOTES:
        return f"{NOTES[name]}\n\n{link}"
    return (
        f"{link} Select some and press *Compare*, or open the charts for their losses in one.\n\n"
        "Figures are of the run's own test rows. Another seed draws other ones: compare figures "
        "where `dagmm.test_rows` is the same, and `dagmm compare` where it is not.\n\n"
        "Search by tags, e.g. `` tags.`dagmm.seed` = '0' and metrics.`deployed/roc_auc` > 0.9 ``: "
        "`dagmm.dataset`, `dagmm.detector`, `dagmm.preset`, `dagmm.protocol`, `dagmm.seed`, "
        "`dagmm.test_rows`, `mlflow.source.git.commit`, `dagmm.decision`."
    )
