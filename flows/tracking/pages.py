"""How MLflow's page of an experiment opens: on the columns that tell its runs apart."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from mlflow.tracking import MlflowClient

VIEW = "dagmm"
TAG = f"mlflow.sharedViewState.{VIEW}"
"""Where MLflow's own *Share* button keeps a view; an address names it by its last part."""
NOTE = "mlflow.note.content"
VIEWS = tomllib.loads((files("flows.tracking") / "views.toml").read_text("utf-8"))
TRAINING = VIEWS["training"]["columns"]
"""Of every experiment that has no view of its own."""


def prepare_experiment(client: MlflowClient, experiment: Experiment) -> None:
    """Give an experiment its view and a description that leads there; one that has it keeps it."""
    columns = VIEWS.get(experiment.name, VIEWS["training"])["columns"]
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
    link = f"[runs side by side, with the columns that tell them apart]({page})"
    if name in VIEWS:
        return f"{VIEWS[name]['note']}\n\nSee the {link}."
    return (
        # A closed description shows this line, and the list of experiments its beginning.
        f"Trainings: {link}. Select some and press *Compare*, or open the charts for their losses "
        "in one.\n\n"
        "Figures are of the run's own test rows. Another seed draws other ones: compare figures "
        "where `dagmm.test_rows` is the same, and `dagmm compare` where it is not.\n\n"
        "Search by tags, e.g. `` tags.`dagmm.seed` = '0' and metrics.`deployed/roc_auc` > 0.9 ``: "
        "`dagmm.dataset`, `dagmm.detector`, `dagmm.preset`, `dagmm.protocol`, `dagmm.seed`, "
        "`dagmm.test_rows`, `mlflow.source.git.commit`, `dagmm.decision`."
    )
