"""The loop over epochs that every training goes through, and what it tells those who watch it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dagmm_model.base.checkpoint import Arrays, Checkpointing, CheckpointStore
from dagmm_model.base.distributed import ALONE, Ranks
from dagmm_model.networks.network import Parameters
from dagmm_model.training.records import EpochRecord


class TrainingDiverged(ValueError):
    """A loss, or a parameter, became infinite or NaN; the last good state is attached.

    Of several members one is enough.

    Attributes:
        epoch: 1-based epoch.
        batch: 1-based batch of the epoch.
        term: reconstruction, energy, penalty or total; update where the last step of a piece left
            parameters that are not finite.
        remedy: what to change.
        parameters: the last good ones.
    """

    def __init__(self, epoch: int, batch: int, term: str, parameters: Parameters) -> None:
        self.epoch, self.batch, self.term = epoch, batch, term
        self.parameters = parameters
        self.remedy = {
            "reconstruction": "scale the input (scaling='robust') or lower learning_rate",
            "energy": "raise jitter, use fewer components or set gradient_clip",
            "penalty": "raise jitter or lower lambda_penalty",
            "total": "lower learning_rate or set gradient_clip",
        }.get(term, "lower learning_rate, or scale the input (scaling='robust')")
        super().__init__(
            f"training diverged in epoch {epoch}, batch {batch}: the {term} is not finite; "
            f"{self.remedy}"
        )

    def __reduce__(self) -> tuple[type, tuple[int, int, str, Parameters]]:
        """Copies and processes get the same error, not one of the message alone."""
        return type(self), (self.epoch, self.batch, self.term, self.parameters)


@dataclass(frozen=True)
class Epoch:
    """An epoch of a detector with terms of its own, as observers get it.

    Attributes:
        epoch: 1-based.
        epochs: planned number.
        terms: figures by name; the first is the objective. ``validation_X`` belongs beside ``X``.
        seconds: time it took.
    """

    epoch: int
    epochs: int
    terms: Mapping[str, float]
    seconds: float


EpochLike = Epoch | EpochRecord
Observer = Callable[[Any], None]
"""Called with the `EpochLike` of each epoch."""


@dataclass(frozen=True)
class Execution:
    """How a training is run, whatever is trained.

    Attributes:
        observers: called with each epoch.
        checkpoint: where to write checkpoints and resume from.
        engine: one of `dagmm_model.engines.choice.ENGINES`.
        device: auto, cpu, cuda or cuda:N.
        ranks: that train together; only the first one writes checkpoints.
    """

    observers: Sequence[Observer] = ()
    checkpoint: Checkpointing | None = None
    engine: str = "auto"
    device: str = "auto"
    ranks: Ranks = ALONE


USUAL = Execution()


class TrainingState(Protocol):
    """Everything that changes while a training goes on."""

    def over(self) -> bool:
        """Whether there is no epoch left."""

    def finish_epoch(self, store: CheckpointStore | None) -> None:
        """Do the steps of the epoch in work that are not done yet.

        Raises:
            TrainingDiverged: a loss is not finite.
        """

    def end_epoch(self, started: float) -> EpochLike:
        """Judge the epoch, begun or resumed at that moment, and go on to the next; its record."""

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays and JSON-able values from which `restore` goes on, to the last bit."""

    def restore(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """Go on from a `snapshot`."""


def run_epochs(
    training: TrainingState, store: CheckpointStore | None, observers: Sequence[Observer] = ()
) -> None:
    """Do the epochs that are not done yet; the store's last checkpoint stays.

    Raises:
        TrainingDiverged: a loss is not finite.
        CheckpointMismatch: the folder holds a checkpoint of another run.
        TrainingStopped: the training was asked to stop; its checkpoint is written.
    """
    if store is not None and (state := store.read()) is not None:
        training.restore(*state)
    while not training.over():
        started = time.perf_counter()
        training.finish_epoch(store)
        record = training.end_epoch(started)
        for observer in observers:
            observer(record)
        if store is not None and store.due():
            store.write(*training.snapshot())
    if store is not None:
        store.write(*training.snapshot())
