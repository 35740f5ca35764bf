"""Settings of the baselines."""

from dataclasses import dataclass
from typing import ClassVar

from dagmm_model.base.settings import CheckedSettings
from dagmm_model.networks.settings import SCALINGS


@dataclass(frozen=True)
class BaselineSettings(CheckedSettings):
    """Settings of any baseline.

    Attributes:
        scaling: of the input columns, see `dagmm_model.tables.scaling.Scaler`.
    """

    scaling: str = "standard"

    choices: ClassVar[dict[str, tuple[str, ...]]] = {"scaling": SCALINGS}


@dataclass(frozen=True)
class TrainingSettings(BaselineSettings):
    """Settings of a baseline that is trained by the loop of `autograd`.

    Attributes:
        epochs: passes over the training rows; 0 leaves the random weights, as a baseline; None
            for as many as the table's size suggests.
        batch_size: largest number of rows of a step; batches of an epoch are of equal size. None
            for 128, and 256 for a large table.
        learning_rate: of Adam.
        average: decay of the exponential moving average of the weights that rows are scored with;
            0 for the last weights.
        device: auto, cpu, cuda or cuda:N.
    """

    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float = 1e-3
    average: float = 0.0
    device: str = "auto"

    least: ClassVar[dict[str, float]] = {"epochs": 0}
    most: ClassVar[dict[str, float]] = {"average": 0.9999999}
