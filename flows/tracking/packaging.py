"""A scoring bundle as an MLflow model: code, safetensors and JSON, with signature and example."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from mlflow.entities import LoggedModelOutput
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, DataType, Schema

import dagmm_model
from dagmm_model.base.integrity import sha256_of
from data_checks.contract import Contract
from flows.tracking.queries import equals

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models.model import ModelInfo

DIGESTS = "dagmm_sha256"
"""Key of the digests in a model's metadata, which `pyfunc_model` compares when it is loaded."""
CACHES = ("__pycache__",)
REQUIREMENTS = ("mlflow", "numba", "numpy", "pandas", "safetensors", "scikit-learn", "scipy")
INPUT_TYPES = {
    "numeric": DataType.double,
    "categorical": DataType.string,
    "boolean": DataType.boolean,
}
OUTPUT = Schema(
    [
        ColSpec(DataType.double, "energy"),
        ColSpec(DataType.double, "p_value"),
        ColSpec(DataType.boolean, "is_anomaly"),
        ColSpec(DataType.double, "threshold"),
    ]
)


def signature_for(contract: Contract) -> ModelSignature:
    """Input and output schema; the input is the contract's feature columns, as raw values."""
    inputs = [
        ColSpec(INPUT_TYPES[column.type], column.name, required=not column.nullable)
        for column in contract.feature_columns
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=OUTPUT)


def logged_model(client: MlflowClient, run_id: str) -> str | None:
    """Id of the complete model that an interrupted attempt has logged for a run already."""
    experiment = client.get_run(run_id).info.experiment_id
    found = client.search_logged_models([experiment], equals("source_run_id", run_id))
    ready = [model for model in found if str(model.status) == "READY"]
    return ready[0].model_id if ready else None


def log_copy(client: MlflowClient, folder: Path, run_id: str) -> str:
    """Log the files of a model as they are as the model of another run; its id.

    Nothing is loaded and no code is exchanged: what was judged is what the copy runs.

    Args:
        client: Tracking store.
        folder: A model as it was fetched; its MLmodel is rewritten to name the new run.
        run_id: MLflow run that owns the copy.
    """
    experiment = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(experiment, name="model", source_run_id=run_id)
    about = Model.load(str(folder))
    about.model_id = about.model_uuid = logged.model_id
    about.run_id, about.artifact_path = run_id, logged.artifact_location
    about.save(str(folder / MLMODEL_FILE_NAME))
    client.log_model_artifacts(logged.model_id, str(folder))
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    client.finalize_logged_model(logged.model_id, "READY")
    return str(logged.model_id)


def log_model(
    bundle: Path,
    contract: Contract,
    example: pd.DataFrame,
    run_id: str,
    needs: tuple[str, ...] = (),
) -> ModelInfo:
    """Log a bundle as the model of a run.

    Args:
        bundle: Folder written by `dagmm_model.detectors.bundle.save_bundle`.
        contract: Gives the signature.
        example: Raw rows, at least two, stored as the input example.
        run_id: MLflow run that owns the model.
        needs: Distributions that the detector needs beside the usual ones.
    """
    code = Path(dagmm_model.__file__).parent
    digests = {"artifacts/bundle": sha256_of(bundle), f"code/{code.name}": sha256_of(code, CACHES)}
    with mlflow.start_run(run_id=run_id):
        return mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"bundle": str(bundle)},
            code_paths=[str(code)],
            metadata={DIGESTS: digests},
            signature=signature_for(contract),
            input_example=example,
            pip_requirements=[f"{name}=={version(name)}" for name in (*REQUIREMENTS, *needs)],
        )
