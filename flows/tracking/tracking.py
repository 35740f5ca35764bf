"""Everything that is written to an MLflow run."""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pyarrow as pa
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset import Dataset
from mlflow.entities import DatasetInput, Experiment, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from data_checks.contract.model import Contract
from flows.common import progress
from flows.common.config import TrainConfig
from flows.common.errors import ServiceUnreachable, message_of, no_connection
from flows.common.settings import Settings, environment_kept
from flows.tracking import pages, runs
from flows.tracking.ending import briefly
from flows.tracking.home.opening import bring_home, make_store

MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
"""Makes the MLflow pages open on runs and charts instead of on chat traces."""


def connect(settings: Settings, *, patient: bool = True) -> MlflowClient:
    """Client of the configured tracking server or of the embedded store, which answers.

    Args:
        settings: Where it is.
        patient: Whether to wait for a server, some minutes at most.

    Raises:
        ServiceUnreachable: The server does not answer.
        UsageError: The home was copied without its artifacts.
    """
    client = client_of(settings)
    with briefly():
        problem = _problem(client, settings)
    if problem is not None and patient and not settings.embedded_tracking:
        progress.note(f"{message_of(problem)}; waiting for it")
        problem = _problem(client, settings)
    if problem is not None:
        raise problem
    return client


def _problem(client: MlflowClient, settings: Settings) -> ServiceUnreachable | None:
    """Why a store does not answer; None if it does."""
    try:
        client.search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        if settings.embedded_tracking:
            unreachable = ServiceUnreachable(message_of(error))
            unreachable.__cause__ = error  # which may be worth trying again
            return unreachable
        why = no_connection(error) or f"{settings.tracking_uri} does not answer: {error}"
        help_ = "start the server, or unset MLFLOW_TRACKING_URI to use the embedded store"
        return ServiceUnreachable(without_passwords(f"MLflow at {why}; {help_}"))
    return None


def client_of(settings: Settings) -> MlflowClient:
    """The same client, whether anybody answers or not.

    Raises:
        UsageError: The home was copied without its artifacts.
    """
    if settings.embedded_tracking:
        make_store(settings)
        bring_home(settings)
    # MLflow writes both addresses into the environment. Left there, they would look as if the user
    # had configured a server, here and in every process started from here.
    with environment_kept("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        mlflow.set_tracking_uri(settings.tracking_uri)
        mlflow.set_registry_uri(settings.tracking_uri)
    return MlflowClient(settings.tracking_uri, settings.tracking_uri)


def check_store(settings: Settings) -> None:
    """Refuse to ask a SQLite file that is gone: SQLite would make an empty one.

    Raises:
        ServiceUnreachable: It is not there.
    """
    uri = settings.tracking_uri
    file = uri.removeprefix("sqlite:///") if uri.startswith("sqlite:///") else ""
    if file and not Path(file).exists():
        raise ServiceUnreachable(f"{file} is not there any more; restore it from a back-up")


def experiment_id(client: MlflowClient, settings: Settings, name: str) -> str:
    """Id of an experiment, created at first use; its page opens on the columns that tell most."""
    if (experiment := client.get_experiment_by_name(name)) is None:
        experiment = _created(client, settings, name)
    pages.prepare_experiment(client, experiment)
    return str(experiment.experiment_id)


def _created(client: MlflowClient, settings: Settings, name: str) -> Experiment:
    location = f"{settings.artifacts.as_uri()}/{name}" if settings.embedded_tracking else None
    try:
        return client.get_experiment(client.create_experiment(name, location, MODEL_TRAINING))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return client.get_experiment_by_name(name)


def ensure_run(
    client: MlflowClient,
    settings: Settings,
    token: str,
    contract: Contract,
    config: TrainConfig,
) -> str:
    """The MLflow run of a run folder, by its name: found again after a crash, otherwise created."""
    experiment = experiment_id(client, settings, f"dagmm-{contract.name}")
    tags = {
        "dagmm.run": token,
        "dagmm.dataset": contract.name,
        "dagmm.detector": config.detector.name,
        "dagmm.preset": config.detector.preset,
        "dagmm.protocol": config.split.protocol,
        "dagmm.seed": str(config.seed),
    }
    title = _run_name(config, token)
    return runs.begin(client, experiment, title, "dagmm train", tags, "dagmm.run")


def _run_name(config: TrainConfig, token: str) -> str:
    """What tells a run from its neighbours, e.g. `dagmm-seed0-epochs60-1f3a`."""
    chosen = config.detector
    parts = [chosen.name, *([chosen.preset] if chosen.preset != "recommended" else [])]
    parts.append(f"seed{config.seed}")
    parts += [f"{k}{v}" for k, v in chosen.settings.items() if isinstance(v, int | float | str)]
    return f"{'-'.join(parts)[:80]}-{token[-4:]}"


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    """Log parameters; nested mappings become dotted names, None is left out."""
    flat = [Param(k, str(v)[:6000]) for k, v in _flatten(params).items() if v is not None]
    client.log_batch(run_id, params=flat)


def log_metrics(client: MlflowClient, run_id: str, metrics: Mapping[str, float | None]) -> None:
    """Log final metrics at step 0; None is left out."""
    now = int(time.time() * 1000)
    client.log_batch(
        run_id, metrics=[Metric(k, float(v), now, 0) for k, v in metrics.items() if v is not None]
    )


def set_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Set several tags of a run at once."""
    client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()])


def log_dataset(
    client: MlflowClient,
    run_id: str,
    contract: Contract,
    table: pa.Table,
    sha256: str,
    part: str,
    context: str,
) -> Dataset:
    """Record that a run used rows as `context` (training, validation, evaluation).

    The digest in MLflow is the start of the sha256 that pins them. The profile and schema come from
    a few rows: MLflow stores them as text of bounded length.
    """
    frame: pd.DataFrame = table.slice(0, 1000).to_pandas()
    # Plain text and floats: MLflow cannot describe categories, and warns of every integer column.
    for column in frame.select_dtypes("category"):
        frame[column] = frame[column].astype(str)
    for column in frame.select_dtypes("integer"):
        frame[column] = frame[column].astype(float)
    source, name = CodeDatasetSource({"contract": contract.name}), f"{contract.name}-{part}"
    dataset = mlflow.data.from_pandas(frame, source=source, name=name, digest=sha256[:32])
    tag = InputTag("mlflow.data.context", context)
    used = [DatasetInput(dataset=dataset._to_mlflow_entity(), tags=[tag])]
    try:
        client.log_inputs(run_id, used)
    except MlflowException as error:
        if error.error_code != "BAD_REQUEST":
            raise
        client.log_inputs(run_id, used)  # another run has just written the same rows down
    return dataset


def log_evaluation(
    client: MlflowClient,
    run_id: str,
    model_id: str,
    contract: Contract,
    test: pa.Table,
    sha256: str,
    figures: Mapping[str, float],
) -> None:
    """Log figures with the model and the test rows, so that the model's own page shows them."""
    dataset = log_dataset(client, run_id, contract, test, sha256, "test", "evaluation")
    mlflow.log_metrics(figures, run_id=run_id, model_id=model_id, dataset=dataset)


def run_path(experiment: str, run_id: str, artifact: str = "") -> str:
    """Page of a run or of its artifact, below MLflow's address, in the view for trained models.

    Without that, whoever comes for the first time gets pages for chat models around it.
    """
    page = f"/#/experiments/{experiment}/runs/{run_id}"
    if artifact:
        page += f"/artifacts/{artifact}"
    return f"{page}?workflowType=machine_learning"


def run_url(settings: Settings, experiment: str, run_id: str, artifact: str = "") -> str:
    """Address of such a page."""
    return f"{settings.mlflow_url}{run_path(experiment, run_id, artifact)}"


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def without_passwords(text: str) -> str:
    """A message without the user names and passwords of the addresses in it."""
    return re.sub(r"://[^/@\s]+@", "://", text)
