"""A scoring bundle as an MLflow model: code, safetensors and JSON, with an example.

The model has no input signature: MLflow would cast by it before the model sees the rows (the text
"no" becomes true, a whole number is refused), and by rules of its own for each form of request. The
model casts by its contract instead, and says what it takes in its metadata.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities import LoggedModelOutput
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME, ModelInfo
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, DataType, Schema

import dagmm_model
import data_checks
from dagmm_model.base.integrity import sha256_of
from data_checks.contract.model import Contract
from flows.tracking.queries import equals
from flows.tracking.seal import CACHE

DIGESTS = "dagmm_sha256"
"""Key of the digests in a model's metadata, which `pyfunc_model` compares when it is loaded."""
INPUTS = "inputs"
"""Key of the columns that the model takes, in its metadata."""
TRAVELLING = (dagmm_model, data_checks)
"""Packages that a served model uses, copied into it: what it was trained with casts and scores."""
REQUIREMENTS = (
    "mlflow",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "safetensors",
    "scikit-learn",
    "scipy",
)
OUTPUT = Schema(
    [
        ColSpec(DataType.double, "energy"),
        ColSpec(DataType.double, "p_value"),
        ColSpec(DataType.boolean, "is_anomaly"),
        ColSpec(DataType.double, "threshold"),
    ]
)


class _Unasked:
    """MLflow's flavor of models from code; what it saves is not loaded and asked here.

    MLflow would do so for the example, in this process, with the code that the model brings along,
    and would only log a failure. Promotion asks a served copy, and a failure rejects the version.
    """

    @staticmethod
    def save_model(*, validate_serving_input: bool, **arguments: Any) -> None:
        """What `Model.log` calls, with all that it was given."""
        assert not validate_serving_input
        mlflow.pyfunc.save_model(**arguments)


def inputs_of(contract: Contract) -> list[dict[str, object]]:
    """The columns that the model takes, as raw values."""
    return [
        {"name": column.name, "type": column.type, "required": not column.nullable}
        for column in contract.feature_columns
    ]


def logged_model(client: MlflowClient, run_id: str) -> str | None:
    """Id of the complete model that an interrupted attempt has logged for a run already."""
    experiment = client.get_run(run_id).info.experiment_id
    models = client.search_logged_models([experiment], equals("source_run_id", run_id))
    ready = [model for model in models if str(model.status) == "READY"]
    return ready[0].model_id if ready else None


def log_copy(client: MlflowClient, folder: Path, run_id: str) -> str:
    """Log the files of a model as they are now as the model of another run; its id.

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
    if digests := (about.metadata or {}).get(DIGESTS):
        fresh = {name: sha256_of(folder / name, {CACHE}) for name in digests}
        about.metadata = {**about.metadata, DIGESTS: fresh}
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
        bundle: Folder written by `dagmm_model.detectors.file_format.save_bundle`.
        contract: Names the columns that the model takes.
        example: Raw rows, at least two, stored as the input example.
        run_id: MLflow run that owns the model.
        needs: Distributions that the detector needs beside the usual ones.
    """
    code = [Path(package.__file__).parent for package in TRAVELLING]
    digests = {
        "artifacts/bundle": sha256_of(bundle),
        **{f"code/{folder.name}": sha256_of(folder, {CACHE}) for folder in code},
    }
    with mlflow.start_run(run_id=run_id):
        return Model.log(
            artifact_path=None,
            name="model",
            flavor=_Unasked,
            validate_serving_input=False,
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"bundle": str(bundle)},
            code_paths=[str(folder) for folder in code],
            metadata={DIGESTS: digests, INPUTS: inputs_of(contract)},
            signature=ModelSignature(outputs=OUTPUT),
            input_example=example,
            pip_requirements=[f"{name}=={version(name)}" for name in (*REQUIREMENTS, *needs)],
        )
