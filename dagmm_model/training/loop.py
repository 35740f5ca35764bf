"""The training of a DAGMM: seeds, validation, early stopping, checkpoints."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.base.checkpoint import CheckpointStore, digest
from dagmm_model.engines.choice import Device, device_for, make_engine, multiplications
from dagmm_model.engines.interface import TERMS, Engine
from dagmm_model.networks.network import Parameters, initialise
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.scoring.final_mixture import fit_scorer
from dagmm_model.training.epochs import (
    USUAL,
    EpochLike,
    Execution,
    TrainingDiverged,
    run_epochs,
)
from dagmm_model.training.feed import Feed, MemoryFeed
from dagmm_model.training.held_out import Held, held_losses, is_taken
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
    how: Execution = USUAL,
    *,
    start: Parameters | None = None,
    sample_weight: Float | None = None,
    validation: NDArray[np.floating] | None = None,
) -> Trained:
    """Train one member for each seed, all as one batched model.

    Ranks share every batch, and end with the same parameters; each has all rows.

    Args:
        x: ``(n, D)`` scaled rows; float32 is what the engines compute in.
        settings: of the run; ``members`` is not read, the seeds count.
        seeds: one for each member; a member's result depends on its own seed only.
        how: it is run.
        start: parameters to start from, each ``(S, ...)``; those of the seeds unless given.
        sample_weight: ``(n,)`` weights of the rows in loss and mixture statistics.
        validation: ``(m, D)`` scaled rows whose energy decides which epoch is kept, needed where
            the settings ask for early stopping or the best epoch. Elsewhere the terms of the
            objective are recorded for them, see `dagmm_model.training.held_out`.

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
    chosen = device_for(how.engine, how.device, work)
    runner = make_engine(how.engine, chosen, x, sample_weight, start, settings, how.ranks)
    judged = _judged(settings)

    def validate() -> tuple[Parameters, Float]:
        assert validation is not None
        parameters = runner.parameters()
        energies = runner.mean_energies(validation, judged.criterion)
        if energies is not None:
            return parameters, energies
        scorer = fit_scorer(parameters, judged, runner.jitter, x.__getitem__, len(x), sample_weight)
        return parameters, scorer.member_energies(validation).mean(axis=1)

    feed = MemoryFeed([len(x)] * len(seeds), settings.batch_size, how.ranks)
    training = MemberTraining(runner, settings, seeds, feed)
    if selects(settings):
        training.validate = validate
    elif validation is not None:
        training.held = held_losses(validation, settings, seeds)
    return training.run(how, chosen, start, lambda: digest(x, sample_weight, validation))


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
        engine: at its starting values.
        settings: of the run.
        seeds: one for each member.
        feed: gives the rows of every step.

    Attributes:
        validate: the parameters of the moment and each member's validation energy ``(S,)``.
        held: takes the terms of rows that are not trained on.
    """

    validate: Callable[[], tuple[Parameters, Float]] | None = None
    held: Held | None = None

    def __init__(
        self, engine: Engine, settings: DagmmSettings, seeds: Sequence[int], feed: Feed
    ) -> None:
        self.settings, self.seeds, self.feed = settings, seeds, feed
        self.progress = Progress(engine, settings, seeds)
        self.snapshot, self.restore = self.progress.snapshot, self.progress.restore

    def run(
        self, how: Execution, device: Device, start: Parameters, rows: Callable[[], object]
    ) -> Trained:
        """Run the epochs that are not done yet.

        Args:
            how: the training is run.
            device: that the engine runs on.
            start: the starting values.
            rows: gives what tells the rows from others.

        Raises:
            TrainingDiverged: a loss is not finite.
            CheckpointMismatch: the folder holds a checkpoint of another run.
        """
        store, progress, engine = None, self.progress, self.progress.engine
        if how.checkpoint is not None:
            # What a checkpoint must agree in: all that decides the result but the number of ranks.
            identity = {
                "settings": asdict(self.settings),
                "seeds": list(self.seeds),
                "rows": rows() if how.ranks.first else "",
                "start": digest(*start.values()),
                "engine": engine.kind,
            }
            store = CheckpointStore(how.checkpoint, identity, how.ranks, asdict(DagmmSettings()))
        run_epochs(self, store, how.observers)
        history, best = tuple(progress.history), progress.best
        if not selects(self.settings) or not best.parameters:  # none where there are 0 epochs
            kept = (len(history),) * progress.members
            return Trained(engine.parameters(), history, engine.jitter, kept, device)
        kept = tuple(int(epoch) for epoch in best.epoch)
        return Trained(best.parameters, history, engine.jitter, kept, device)

    def over(self) -> bool:
        """After the last epoch, or when every member has waited long enough for a better one."""
        return self.progress.epoch >= self.settings.epochs or self.progress.best.exhausted()

    def finish_epoch(self, store: CheckpointStore | None) -> None:
        progress = self.progress
        if progress.done == 0 and self.held is not None:
            judged = is_taken(progress.epoch, self.settings.epochs)
            progress.held = self.held(progress.engine.parameters()) if judged else {}
        rates = learning_rates(self.settings, progress.epoch, self.feed.steps)
        for piece in self.feed.pieces(progress):
            if piece.rows is not None:
                progress.engine.take(piece.rows)
            steps = slice(progress.done, progress.done + piece.order.shape[1])
            losses = progress.engine.run(piece.order, rates[steps], progress.dropout, piece.part)
            finite = np.isfinite(losses[-1]).all()
            if not (finite and progress.engine.finite()):
                progress.engine.undo()
                bad = (TERMS[i] for i in (1, 2, 3) if not np.isfinite(losses[-1, :, i]).all())
                culprit = next(bad, TERMS[0])
                raise TrainingDiverged(
                    progress.epoch + 1,
                    progress.done + len(losses),
                    "update" if finite else culprit,
                    progress.engine.parameters(),
                )
            progress.losses = np.concatenate([progress.losses, losses])
            progress.done += len(losses)
            if store is not None and progress.done < self.feed.steps and store.due():
                store.write(*progress.snapshot())

    def end_epoch(self, started: float) -> EpochRecord:
        progress, settings, energies = self.progress, self.settings, None
        epoch = progress.epoch + 1
        if self.validate is not None and (
            epoch == settings.epochs or epoch % settings.evaluate_every == 0
        ):
            parameters, energies = self.validate()
            progress.best.update(epoch, energies, parameters)
        record = progress.record(settings, energies, time.perf_counter() - started)
        progress.next_epoch(record)
        return record
