"""A scoring bundle as an MLflow model: code, safetensors and JSON, with signature and example."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

import dagmm_model
from dagmm_model.base.integrity import sha256_of
from data_checks.contract import Contract

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
