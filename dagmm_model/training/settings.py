"""Settings of the baselines, checked by their types when they are made."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, get_type_hints

from dagmm_model.base.settings import refuse
from dagmm_model.networks.settings import CHOICES


@dataclass(frozen=True)
class BaselineSettings:
    """Settings of any baseline.

    Attributes:
        scaling: of the input columns, see `dagmm_model.tables.scaling.Scaler`.
    """

    scaling: str = "standard"

    least: ClassVar[dict[str, float]] = {}
    """Smallest value of a number by setting; where not given, 1 for integers and 0 for others."""

    most: ClassVar[dict[str, float]] = {}
    """Largest value of a number by setting, where there is one."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for name, value in ((field.name, getattr(self, field.name)) for field in fields(self)):
            kind = str(hints[name])
            if name in CHOICES:
                if value not in CHOICES[name]:
                    refuse(name, value, f"one of {', '.join(CHOICES[name])}")
            elif "tuple" in kind:
                if not isinstance(value, tuple) or not all(_within(w, int, 1) for w in value):
                    refuse(name, value, "a tuple of positive integers")
            elif "bool" in kind:
                if not isinstance(value, bool):
                    refuse(name, value, "true or false")
            elif ("int" in kind or "float" in kind) and not (value is None and "None" in kind):
                whole = "int" in kind
                least = self.least.get(name, 1.0 if whole else 0.0)
                most = self.most.get(name, float("inf"))
                if not _within(value, int if whole else float, least, most):
                    what = "an integer" if whole else "a number"
                    upper = f" and at most {most:g}" if name in self.most else ""
                    refuse(name, value, f"{what} of at least {least:g}{upper}")


def _within(value: object, kind: type, least: float, most: float = float("inf")) -> bool:
    kinds = (int, float) if kind is float else (int,)
    if not isinstance(value, kinds) or isinstance(value, bool):
        return False
    return least <= value <= most and value != float("inf")


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
