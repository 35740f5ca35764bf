"""What most detectors share, so that one of them is its mathematics and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from dagmm_model.base.arrays import Float, Rows
from dagmm_model.base.checkpoint import Checkpointing
from dagmm_model.base.settings import from_json, replaced, unknown
from dagmm_model.detectors.catalogue import presets_of
from dagmm_model.detectors.interface import Arrays, NotEnoughRowsError, State
from dagmm_model.engines.choice import Device
from dagmm_model.mixture.mixture import MixtureHealth
from dagmm_model.tables.rows import canonical_order
from dagmm_model.tables.scaling import Scaler
from dagmm_model.training.baseline_settings import BaselineSettings
from dagmm_model.training.epochs import Epoch, Execution, Observer

ROWS_PER_CALL = 8192
"""Rows scored at a time."""

S = TypeVar("S")


class BaseDetector(Generic[S]):
    """Settings, seed, input checks and state of a detector that is named arrays once it is fitted.

    Its energies are computed from the arrays and its settings alone, so saving it is writing them,
    and a loaded one gives the same energies to the last bit. A detector sets the class attributes
    and writes `_learn` and `_energy`; the rows they get are checked. One that trains by epochs
    writes `_fit` instead of `_learn`, and sets ``history_`` in it.

    Attributes:
        settings_type: frozen dataclass whose values have defaults, checked when it is made.
        presets: named settings, as differences from the defaults; those of the catalogue.
        least_rows: fewest training rows.
    """

    name: ClassVar[str]
    settings_type: ClassVar[type[Any]]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    least_rows: ClassVar[int] = 2
    health_: MixtureHealth | None = None
    _arrays: Arrays

    def __init_subclass__(cls) -> None:
        cls.presets = presets_of(getattr(cls, "name", ""))

    def __init__(self, settings: S | None = None, seed: int = 0) -> None:
        self._asked: S = self.settings_type() if settings is None else settings
        self.settings_ = self._asked
        self.seed = seed
        self.history_: tuple[Any, ...] = ()
        self.device_ = Device("cpu", "this detector runs there only")
        self.n_features_in_ = 0

    @property
    def n_iter_(self) -> int:
        """Number of epochs trained."""
        return len(self.history_)

    @classmethod
    def configure(cls, preset: str, seed: int, settings: Mapping[str, Any]) -> Self:
        if preset not in cls.presets:
            raise unknown(f"preset of {cls.name}", preset, cls.presets)
        start: S = replaced(cls.settings_type(), cls.presets[preset])
        return cls(replaced(start, settings), seed)

    def settings_for(self, n_rows: int, n_columns: int) -> S:
        """See `Detector.settings_for`; the shape decides nothing unless a detector says so."""
        return self._asked

    def check_size(self, n_rows: int, n_columns: int) -> None:
        """Refuse data that would not fit into memory or time, as `TooLarge`; nothing by default."""

    def fit(
        self,
        X: ArrayLike,
        *,
        observers: Sequence[Observer] = (),
        checkpoint: Checkpointing | None = None,
    ) -> Self:
        rows = _matrix(X)
        if len(rows) < self.least_rows:
            raise NotEnoughRowsError(
                f"{len(rows)} training rows, at least {self.least_rows} are needed for "
                f"{self.name}; give more"
            )
        self.check_size(*rows.shape)
        self.n_features_in_ = rows.shape[1]
        self._restore(self._fit(rows, Execution(observers, checkpoint)))
        return self

    def energy(self, X: ArrayLike) -> Float:
        if not self.n_features_in_:
            raise ValueError(f"this {self.name} detector is not fitted; call fit first")
        rows = _matrix(X)
        if rows.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {rows.shape[1]} columns, {self.name} was fitted on {self.n_features_in_}"
            )
        out = np.empty(len(rows))
        for start in range(0, len(rows), ROWS_PER_CALL):
            out[start : start + ROWS_PER_CALL] = self._energy(rows[start : start + ROWS_PER_CALL])
        return out

    def state(self) -> State:
        values = {
            "settings": asdict(self.settings_),  # type: ignore[call-overload]
            "seed": self.seed,
            "n_features_in": self.n_features_in_,
            "history": [asdict(epoch) for epoch in self.history_],
            "fitted": {},  # which the versions before read
        }
        return values, dict(self._arrays)

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: Arrays) -> Self:
        detector = cls(from_json(cls.settings_type, values["settings"]), values["seed"])
        detector.n_features_in_ = values["n_features_in"]
        detector.history_ = tuple(Epoch(**epoch) for epoch in values["history"])
        detector._restore(arrays)
        return detector

    def _fit(self, X: Rows, how: Execution) -> Arrays:
        return self._learn(X)

    def _learn(self, X: Rows) -> Arrays:
        """The arrays that `_energy` needs, of checked rows ``(n, D)``."""
        raise NotImplementedError

    def _energy(self, X: Rows) -> Float:
        """Energy of at most `ROWS_PER_CALL` checked rows."""
        raise NotImplementedError

    def _restore(self, arrays: Arrays) -> None:
        """Take the arrays; a detector adds what follows from them."""
        self._arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}


def _matrix(X: ArrayLike) -> Rows:
    """Rows as a two-dimensional finite array of floats."""
    rows = np.asarray(X)
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    if rows.ndim != 2 or not rows.shape[1]:
        raise ValueError(f"X has shape {rows.shape}; give rows of numeric columns")
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise ValueError(f"row {row}, column {column} of X is not finite; remove or impute it")
    return rows


B = TypeVar("B", bound=BaselineSettings)


class ScaledDetector(BaseDetector[B]):
    """A detector that learns from scaled rows, whatever their order, and scores scaled rows.

    A subclass writes `_learn_scaled` and `_score`.
    """

    def _fit(self, X: Rows, how: Execution) -> Arrays:
        self.settings_ = self.settings_for(*X.shape)
        rows = X[canonical_order(X)]
        scaler = Scaler.fit(self.settings_.scaling, rows)
        learned = self._train(scaler.transform(rows), how)
        return learned | scaler.to_arrays()

    def _energy(self, X: Rows) -> Float:
        return self._score(self._scaler.transform(X))

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        self._scaler = Scaler.from_arrays(self.settings_.scaling, self._arrays)

    def _train(self, x: Float, how: Execution) -> Arrays:
        """What `_learn_scaled` gives; another one where there are epochs."""
        return self._learn_scaled(x)

    def _learn_scaled(self, x: Float) -> Arrays:
        """The arrays that `_score` needs, of scaled rows ``(n, D)`` in canonical order."""
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
