"""What most baselines share: settings that check themselves, a scaler, arrays that are everything.

A fitted baseline is a handful of named arrays. Its energies are computed from them and its settings
alone, so saving it is writing the arrays, and a loaded one gives the same energies to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar, get_type_hints

import numpy as np

from dagmm_model.base.checkpoint import Checkpointing
from dagmm_model.base.settings import refuse
from dagmm_model.detectors.interface import Arrays, BaseDetector, Float, Observer, Rows, State
from dagmm_model.networks.presets import CHOICES
from dagmm_model.tables.rows import canonical_order
from dagmm_model.tables.scaling import Scaler

SCALER = ("centre", "scale", "mean", "rotation", "back")


@dataclass(frozen=True)
class BaselineSettings:
    """Settings of a baseline, checked by their types when they are made.

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


S = TypeVar("S", bound=BaselineSettings)


class ArrayDetector(BaseDetector[S]):
    """A detector whose fitted state is arrays, found from scaled rows.

    A subclass writes `_learn` and `_score`. The result does not depend on the order of the
    training rows.
    """

    _arrays: Arrays

    def __init__(self, settings: S | None = None, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self._asked = self.settings_

    def settings_for(self, n_rows: int, n_columns: int) -> S:
        """See `Detector.settings_for`."""
        return self._asked

    def _fit(
        self, X: Rows, observers: Sequence[Observer], checkpoint: Checkpointing | None
    ) -> None:
        self.settings_ = self.settings_for(*X.shape)
        rows = X[canonical_order(X)]
        scaler = Scaler.fit(self.settings_.scaling, rows)
        learned = self._learn(scaler.transform(rows), observers, checkpoint)
        kept = {f"scaler.{name}": getattr(scaler, name) for name in SCALER}
        self._restore({}, learned | {n: array for n, array in kept.items() if array is not None})

    def _energy(self, X: Rows) -> Float:
        return self._score(self._scaler.transform(X))

    def _fitted(self) -> State:
        return {}, dict(self._arrays)

    def _restore(self, values: dict[str, Any], arrays: Arrays) -> None:
        self._arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        parts: list[Any] = [self._arrays.get(f"scaler.{name}") for name in SCALER]
        self._scaler = Scaler(self.settings_.scaling, *parts)

    def _learn(
        self, x: Float, observers: Sequence[Observer], checkpoint: Checkpointing | None
    ) -> Arrays:
        """The arrays that scoring needs, of scaled rows ``(n, D)`` in canonical order."""
        raise NotImplementedError

    def _score(self, x: Float) -> Float:
        """Energy ``(m,)`` of a chunk of scaled rows ``(m, D)``, higher = more anomalous."""
        raise NotImplementedError


def sample(x: Float, limit: int, seed: int) -> Float:
    """At most ``limit`` of the rows, drawn at random, in their order."""
    if len(x) <= limit:
        return x
    chosen = np.random.default_rng(seed).choice(len(x), limit, replace=False)
    return x[np.sort(chosen)]
