"""The model as MLflow serves it: raw rows in, verdicts out.

MLflow copies this file into the model and runs it at load time (models from code), so nothing is
pickled. It may use only what travels with the model: `dagmm_model` and its requirements.
"""

from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models import Model

from dagmm_model.base.integrity import sha256_of
from dagmm_model.detectors.bundle import BundleError, load_bundle

DIGESTS = "dagmm_sha256"
"""Key of the model's metadata: sha256 of its folders by their names."""


def check_digests(model: Path) -> None:
    """Compare a model's folders with the digests in its metadata.

    This finds damage, not malice: whoever can write here can write that as well, and this file.

    Raises:
        BundleError: A folder is not as it was logged.
    """
    logged = Model.load(str(model)).metadata or {}
    for name, sha256 in logged.get(DIGESTS, {}).items():
        if sha256_of(model / name, without=("__pycache__",)) != sha256:
            raise BundleError(
                f"{model / name} is not as it was logged; restore it from a backup, or train again"
            )


class EnergyModel(mlflow.pyfunc.PythonModel):
    """Scores raw rows with the bundle among the model's artifacts."""

    def load_context(self, context: mlflow.pyfunc.PythonModelContext) -> None:
        """Load the bundle once, ready for the first request; refuse what is not as logged."""
        check_digests(Path(context.artifacts["bundle"]).parents[1])
        self.bundle = load_bundle(Path(context.artifacts["bundle"]))
        self.bundle.warm_up()

    def predict(
        self,
        context: mlflow.pyfunc.PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, object] | None = None,
    ) -> pd.DataFrame:
        """Energy, p-value, verdict and threshold of each row; the input's index is kept."""
        scores = self.bundle.score(model_input)
        return pd.DataFrame(
            {
                "energy": scores.energy,
                "p_value": scores.p_value,
                "is_anomaly": scores.is_anomaly,
                "threshold": self.bundle.threshold.value,
            },
            index=model_input.index,
        )


mlflow.models.set_model(EnergyModel())
