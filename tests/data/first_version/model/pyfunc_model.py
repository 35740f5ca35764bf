"""The model as MLflow serves it: raw rows in, verdicts out.

MLflow copies this file into the model and runs it at load time (models from code), so nothing is
pickled. It may use only what travels with the model: `dagmm_model` and its requirements.
"""

from pathlib import Path

import mlflow
import pandas as pd

from dagmm_model.bundle import load_bundle


class EnergyModel(mlflow.pyfunc.PythonModel):
    """Scores raw rows with the bundle among the model's artifacts."""

    def load_context(self, context: mlflow.pyfunc.PythonModelContext) -> None:
        """Load the bundle once, ready for the first request."""
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
