"""The training of a DAGMM: seeds, validation, early stopping, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.base.checkpoint import Checkpointing, CheckpointStore, digest
from dagmm_model.base.distributed import ALONE, Ranks
from dagmm_model.engines.choice import Device, device_for, make_engine, multiplications
from dagmm_model.engines.interface import TERMS, Engine
from dagmm_model.networks.network import Parameters, initialise
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.scoring.fitting import fit_scorer
from dagmm_model.training.epochs import EpochLike, Observer, TrainingDiverged, run_epochs
from dagmm_model.training.feed import Feed, MemoryFeed
from dagmm_model.training.held import Held, held_losses, is_taken
from dagmm_model.training.records import EpochRecord, Progress


@dataclass(frozen=True)
class Trained:
    """Outcome of a training run.

    Attributes:
        parameters: of the kept epoch, each ``(S, ...)``.
        history: a record for each epoch.
        jitter: ``(S,)`` relative jitter in use at the end.
        kept: 1-based epoch kept for each member.
        device: where it was trained.
    """

    parameters: Parameters
    history: tuple[EpochLike, ...]
    jitter: Float
    kept: tuple[int, ...]
    device: Device


Validate = Callable[[], tuple[Parameters, Float]]

RATE_WARM_UP = 20
"""Steps over which the learning rate grows where the schedule has a warm-up."""


def learning_rates(settings: DagmmSettings, epoch: int, steps: int) -> Float:
    """Learning rate of every step of a 0-based epoch."""
    step = epoch * steps + np.arange(steps, dtype=np.float64)
    rates = np.full(steps, settings.learning_rate)
    if settings.learning_rate_schedule != "constant":
        rates *= 0.5 * (1.0 + np.cos(np.pi * step / (settings.epochs * steps)))
    if settings.learning_rate_schedule == "warmup_cosine":
        rates *= np.minimum(1.0, (step + 1.0) / RATE_WARM_UP)
    return rates


def train(
    x: NDArray[np.floating],
    settings: DagmmSettings,
    seeds: Sequence[int],
    *,
    start: Parameters | None = None,
    sample_weight: Float | None = None,
    validation: NDArray[np.floating] | None = None,
    observers: Sequence[Observer] = (),
    checkpoint: Checkpointing | None = None,
    engine: str = "auto",
    device: str = "auto",
    ranks: Ranks = ALONE,
) -> Trained:
    """Train one member for each seed, all as one batched model.

    Ranks share every batch, and end with the same parameters; each has all rows.

    Args:
        x: ``(n, D)`` scaled rows; float32 is what the engines compute in.
        settings: of the run; ``members`` is not read, the seeds count.
        seeds: one for each member; a member's result depends on its own seed only.
        start: parameters to start from, each ``(S, ...)``; those of the seeds unless given.
        sample_weight: ``(n,)`` weights of the rows in loss and mixture statistics.
        validation: ``(m, D)`` scaled rows whose energy decides which epoch is kept, needed where
            the settings ask for early stopping or the best epoch. Elsewhere the terms of the
            objective are recorded for them, see `dagmm_model.training.held`.
        observers: called with each epoch's record.
        checkpoint: where to write checkpoints and resume from.
        engine: one of `dagmm_model.engines.choice.ENGINES`.
        device: auto, cpu, cuda or cuda:N.
        ranks: that train together; only the first one writes checkpoints.

    Raises:
        TrainingDiverged: a loss is not finite.
        CheckpointMismatch: the folder holds a checkpoint of another run.
        RanksLost: another rank has died.
    """
    if selects(settings) and validation is None:
        raise ValueError("choosing an epoch needs validation rows; give validation=")
    if start is None:
        start = initialise(settings, x.shape[1], seeds, x)
    work = multiplications(settings, len(x), x.shape[1], len(seeds))
    chosen = device_for(engine, device, work)
    runner = make_engine(engine, chosen, x, sample_weight, start, settings, ranks)
    store = None
    if checkpoint is not None:
        rows = digest(x, sample_weight, validation) if ranks.first else ""
        identity = run_identity(runner, settings, seeds, rows, start)
        store = CheckpointStore(checkpoint, identity, ranks, asdict(DagmmSettings()))
    judged = _judged(settings)

    def validate() -> tuple[Parameters, Float]:
        assert validation is not None
        parameters = runner.parameters()
        energies = runner.mean_energies(validation, judged.criterion)
        if energies is not None:
            return parameters, energies
        scorer = fit_scorer(parameters, judged, runner.jitter, x.__getitem__, len(x), sample_weight)
        return parameters, scorer.member_energies(validation).mean(axis=1)

    feed = MemoryFeed(len(x), settings.batch_size, ranks)
    held = None if validation is None else held_losses(validation, settings, seeds)
    if selects(settings):
        return run_training(runner, chosen, feed, settings, seeds, store, observers, validate)
    return run_training(runner, chosen, feed, settings, seeds, store, observers, held=held)


def run_identity(
    engine: Engine, settings: DagmmSettings, seeds: Sequence[int], rows: object, start: Parameters
) -> dict[str, object]:
    """What a checkpoint must agree in: all that decides the result but the number of ranks."""
    return {
        "settings": asdict(settings),
        "seeds": list(seeds),
        "rows": rows,
        "start": digest(*start.values()),
        "engine": engine.kind,
    }


def run_training(
    engine: Engine,
    device: Device,
    feed: Feed,
    settings: DagmmSettings,
    seeds: Sequence[int],
    store: CheckpointStore | None,
    observers: Sequence[Observer],
    validate: Validate | None = None,
    held: Held | None = None,
) -> Trained:
    """Run the epochs that are not done yet, wherever the rows come from.

    Args:
        engine: at its starting values.
        device: that it runs on.
        feed: gives the rows of every step.
        settings: of the run.
        seeds: one for each member.
        store: of the checkpoints; the run goes on from the one that is there.
        observers: called with each epoch's record.
        validate: the parameters of the moment and each member's validation energy ``(S,)``.
        held: takes the terms of rows that are not trained on.

    Raises:
        TrainingDiverged: a loss is not finite.
        CheckpointMismatch: the folder holds a checkpoint of another run.
    """
    training = MemberTraining(Progress(engine, settings, seeds), settings, feed, validate, held)
    run_epochs(training, store, observers)
    progress = training.progress
    history = tuple(progress.history)
    if not selects(settings) or not progress.best.parameters:  # none where there are 0 epochs
        kept = (len(history),) * len(seeds)
        return Trained(engine.parameters(), history, engine.jitter, kept, device)
    kept = tuple(int(epoch) for epoch in progress.best.epoch)
    return Trained(progress.best.parameters, history, engine.jitter, kept, device)


def selects(settings: DagmmSettings) -> bool:
    """Whether validation rows choose the epoch."""
    return settings.keep_best or settings.early_stopping is not None


def _judged(settings: DagmmSettings) -> DagmmSettings:
    """How an epoch is scored: by the memberships of the moment, by the error where there are none.

    The mixture is refined, or fitted from scratch, once, at the end.
    """
    criterion = settings.criterion if settings.mixes or settings.masking else "reconstruction"
    return replace(settings, refinement=0, final_mixture="memberships", criterion=criterion)


class MemberTraining:
    """The training of one batched model; see `dagmm_model.training.epochs.TrainingState`.

    Args:
        progress: of the engine at its starting values.
        settings: of the run.
        feed: gives the rows of every step.
        validate: the parameters of the moment and each member's validation energy ``(S,)``.
        held: takes the terms of rows that are not trained on.
    """

    def __init__(
        self,
        progress: Progress,
        settings: DagmmSettings,
        feed: Feed,
        validate: Validate | None = None,
        held: Held | None = None,
    ) -> None:
        self.progress, self.settings, self.feed = progress, settings, feed
        self._validate, self._held = validate, held
        self.snapshot, self.restore = progress.snapshot, progress.restore

    def over(self) -> bool:
        """After the last epoch, or when every member has waited long enough for a better one."""
        return self.progress.epoch >= self.settings.epochs or self.progress.best.exhausted()

    def finish_epoch(self, store: CheckpointStore | None) -> None:
        progress = self.progress
        if progress.done == 0 and self._held is not None:
            judged = is_taken(progress.epoch, self.settings.epochs)
            progress.held = self._held(progress.engine.parameters()) if judged else {}
        rates = learning_rates(self.settings, progress.epoch, self.feed.steps)
        for piece in self.feed.pieces(progress):
            if piece.rows is not None:
                progress.engine.take(piece.rows)
            steps = slice(progress.done, progress.done + piece.order.shape[1])
            losses = progress.engine.run(piece.order, rates[steps], progress.dropout, piece.part)
            finite = np.isfinite(losses[-1]).all()
            if not (finite and progress.engine.finite()):
                progress.engine.undo()
                raise TrainingDiverged(
                    progress.epoch + 1,
                    progress.done + len(losses),
                    "update" if finite else _culprit(losses[-1]),
                    progress.engine.parameters(),
                )
            progress.losses = np.concatenate([progress.losses, losses])
            progress.done += len(losses)
            if store is not None and progress.done < self.feed.steps and store.due():
                store.write(*progress.snapshot())

    def end_epoch(self, started: float) -> EpochRecord:
        progress, settings, energies = self.progress, self.settings, None
        epoch = progress.epoch + 1
        if self._validate is not None and (
            epoch == settings.epochs or epoch % settings.evaluate_every == 0
        ):
            parameters, energies = self._validate()
            progress.best.update(epoch, energies, parameters)
        record = progress.record(settings, energies, time.perf_counter() - started)
        progress.next_epoch(record)
        return record


def _culprit(losses: Float) -> str:
    """The first term that is not finite, of losses ``(S, 4)``."""
    for i in (1, 2, 3):
        if not np.isfinite(losses[:, i]).all():
            return TERMS[i]
    return TERMS[0]
