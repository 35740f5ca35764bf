"""The model as MLflow serves it: raw rows in, verdicts out.

MLflow copies this file into the model and runs it at load time (models from code), so nothing is
pickled. It may use only what travels with the model: `dagmm_model`, `data_checks` and their
requirements. Values are read by the very code that reads them for `dagmm score`; what that code
rejects is refused here with its reason, whatever form the rows come in.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import INVALID_PARAMETER_VALUE, MlflowException
from mlflow.models import Model

from dagmm_model.base.integrity import sha256_of
from dagmm_model.detectors.file_format import BundleError, load_bundle
from data_checks.base.errors import SourceError
from data_checks.contract.model import load_contract
from data_checks.rows.rows import check_rows

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


class Refusal(MlflowException):
    """Rows that cannot be scored; over HTTP status 400 and one sentence."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, error_code=INVALID_PARAMETER_VALUE)
        self._sentence = sentence

    def serialize_as_json(self) -> str:
        """The answer over HTTP, without the request that MLflow's server writes before it."""
        self.message = self._sentence
        return super().serialize_as_json()


class EnergyModel(mlflow.pyfunc.PythonModel):
    """Scores raw rows with the bundle among the model's artifacts."""

    def load_context(self, context: mlflow.pyfunc.PythonModelContext) -> None:
        """Load the bundle once, ready for the first request; refuse what is not as logged."""
        folder = Path(context.artifacts["bundle"])
        check_digests(folder.parents[1])
        self.contract = load_contract(folder / "contract.json")
        self.bundle = load_bundle(folder).taking_new_levels()
        self.bundle.warm_up()

    def predict(
        self,
        context: mlflow.pyfunc.PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, object] | None = None,
    ) -> pd.DataFrame:
        """Energy, p-value, verdict and threshold of each row; the input's index is kept.

        Args:
            context: Of MLflow; unused.
            model_input: Raw rows; over HTTP also a dictionary of columns or a list of records.
            params: Unused.

        Raises:
            Refusal: A row cannot be scored.
        """
        frame = _frame(model_input)
        try:
            checked = check_rows(frame, self.contract)
        except SourceError as error:
            raise Refusal(str(error)) from None
        if checked.refusal:
            raise Refusal(checked.refusal)
        scores = self.bundle.score(checked.features.to_pandas())
        return pd.DataFrame(
            {
                "energy": scores.energy,
                "p_value": scores.p_value,
                "is_anomaly": scores.is_anomaly,
                "threshold": self.bundle.threshold.value,
            },
            index=frame.index,
        )


def _frame(rows: Any) -> pd.DataFrame:
    """Rows in any of MLflow's forms as a data frame, no value changed."""
    if isinstance(rows, pd.DataFrame):
        return rows
    if isinstance(rows, pd.Series):
        return rows.to_frame().T
    if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
        return pd.DataFrame(rows, dtype=object)
    if isinstance(rows, dict):
        columns = {name: np.asarray(values, dtype=object) for name, values in rows.items()}
        alone = all(values.ndim == 0 for values in columns.values())
        columns = {n: values.reshape(1) if alone else values for n, values in columns.items()}
        lengths = {n: len(v) if v.ndim == 1 else -1 for n, v in columns.items()}
        if len(set(lengths.values())) == 1 and -1 not in lengths.values():
            return pd.DataFrame(columns)
        raise Refusal(f"the columns have no single length: {lengths}")
    raise Refusal(
        f"rows as {type(rows).__name__} have no column names: send a data frame, a dictionary of "
        "columns or a list of records"
    )


mlflow.models.set_model(EnergyModel())
