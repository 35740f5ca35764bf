"""What a detector is: fit on rows, an energy for each row, and a state that goes to disk.

`Detector` is the interface that everything outside this package relies on. `base.BaseDetector`
carries what most detectors share; DAGMM, a scikit-learn estimator, implements the interface itself.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from numpy.typing import NDArray

from dagmm_model.base.arrays import Float, Rows
from dagmm_model.base.checkpoint import Checkpointing
from dagmm_model.engines.choice import Device
from dagmm_model.mixture.mixture import Mixture, MixtureHealth
from dagmm_model.scoring.explanation import ExplainedEnergies, Explanation
from dagmm_model.tables.encoded import Encoded, Layout
from dagmm_model.training.epochs import Observer

Arrays = dict[str, NDArray[Any]]
State = tuple[dict[str, Any], Arrays]
"""JSON-able values, and arrays."""


class NotEnoughRowsError(ValueError):
    """Too few training rows for the detector."""


class TooLarge(ValueError):
    """The data are beyond what the detector can hold; said before the work starts."""


class Detector(Protocol):
    """A detector, fitted on (mostly) normal rows. Higher energy = more anomalous.

    Attributes:
        name: its name in the catalogue, under which it is saved and loaded.
        presets: names of its presets.
        history_: an `EpochLike` for each epoch; empty where there are none.
    """

    name: ClassVar[str]
    presets: ClassVar[Collection[str]]
    history_: tuple[Any, ...]

    @property
    def n_iter_(self) -> int:
        """Number of epochs trained."""

    @property
    def device_(self) -> Device:
        """Where it was trained, and why there."""

    @property
    def settings_(self) -> Any:
        """Frozen dataclass with JSON-able values, all resolved once it is fitted."""

    @property
    def health_(self) -> MixtureHealth | None:
        """State of the mixture; None where there is none."""

    @classmethod
    def configure(cls, preset: str, seed: int, settings: Mapping[str, Any]) -> Self:
        """An unfitted detector of a preset (each has ``recommended``), and what differs from it.

        Raises:
            SettingsError: unknown preset or setting, or a value that cannot be used.
        """

    def settings_for(self, n_rows: int, n_columns: int) -> Any:
        """The `settings_` that a fit on a table of this shape would have."""

    def fit(
        self,
        X: Rows,
        *,
        observers: Sequence[Observer] = (),
        checkpoint: Checkpointing | None = None,
    ) -> Self:
        """Fit on the rows ``(n, D)``, numeric and finite.

        Observers are called with each epoch; a long training writes checkpoints and resumes.

        Raises:
            NotEnoughRowsError: fewer rows than the detector needs.
            TooLarge: more than it can hold.
        """

    def energy(self, X: Rows) -> Float:
        """Energy of the rows ``(m, D)``: float64 ``(m,)``, higher = more anomalous."""

    def state(self) -> State:
        """Everything that `from_state` needs to score the same to the last bit."""

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: Arrays) -> Self:
        """The fitted detector of a `state`."""


@runtime_checkable
class Explaining(Protocol):
    """A detector that says which columns a row's energy comes from."""

    def explain(self, X: Rows) -> Explanation:
        """Reasons for the rows ``(m, D)``."""


class RowScorer(Protocol):
    """Scores encoded rows of one layout."""

    def score(self, rows: Encoded, explain_above: float) -> ExplainedEnergies:
        """Energies, and reasons for the rows with an energy above a bound (-inf: for all)."""


@runtime_checkable
class ForLayout(Protocol):
    """A detector that scores encoded rows without their one-hot matrix."""

    def for_layout(self, layout: Layout) -> RowScorer:
        """A scorer of rows with that layout, worth keeping."""


@runtime_checkable
class Latent(Protocol):
    """A detector with a latent space to look at."""

    def latent(self, X: Rows) -> Float:
        """Latent rows ``(m, L)``."""


@runtime_checkable
class Mixed(Protocol):
    """A detector with Gaussian mixtures."""

    @property
    def mixtures_(self) -> tuple[Mixture, ...]:
        """One for each member; empty where the score does not use any."""
