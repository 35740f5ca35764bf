"""The training loop: seeds, shuffling, validation, early stopping, observers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagmm_model.checkpoint import Checkpointing
from dagmm_model.engine import TERMS, Engine
from dagmm_model.inference import fit_scorer
from dagmm_model.mixture import mixture_health
from dagmm_model.network import Parameters, initialise, streams
from dagmm_model.presets import Settings

Float = NDArray[np.float64]

ENGINES = ("auto", "numpy", "torch")


class TrainingDiverged(ValueError):
    """A loss became infinite or NaN; the last good state is attached.

    Attributes:
        epoch: 1-based epoch.
        batch: 1-based batch of the epoch.
        term: reconstruction, energy, penalty or total.
        remedy: what to change.
        parameters: of the end of the last good epoch.
    """

    def __init__(self, epoch: int, batch: int, term: str, parameters: Parameters) -> None:
        self.epoch, self.batch, self.term = epoch, batch, term
        self.parameters = parameters
        self.remedy = {
            "reconstruction": "scale the input (scaling='robust') or lower learning_rate",
            "energy": "raise jitter, use fewer components or set gradient_clip",
            "penalty": "raise jitter or lower lambda_penalty",
        }.get(term, "lower learning_rate or set gradient_clip")
        super().__init__(
            f"training diverged in epoch {epoch}, batch {batch}: the {term} is not finite; "
            f"{self.remedy}"
        )


@dataclass(frozen=True)
class EpochRecord:
    """One epoch, as observers get it.

    Attributes:
        epoch: 1-based.
        epochs: planned number of epochs.
        total: objective, mean over batches and members; so the next three.
        reconstruction: reconstruction loss.
        energy: mean sample energy.
        penalty: singularity penalty, without its lambda.
        validation_energy: mean energy of the validation rows, None when not evaluated.
        phi: shares of the first member's last batch.
        min_phi: smallest share of any member.
        max_condition: largest condition number of any member's covariances.
        effective_components: exponential of the entropy of phi, mean over members.
        seconds: of training and evaluating this epoch.
    """

    epoch: int
    epochs: int
    total: float
    reconstruction: float
    energy: float
    penalty: float
    validation_energy: float | None
    phi: tuple[float, ...]
    min_phi: float
    max_condition: float
    effective_components: float
    seconds: float


Observer = Callable[[EpochRecord], None]


@dataclass(frozen=True)
class Trained:
    """Outcome of a training run.

    Attributes:
        parameters: of the kept epoch, each ``(S, ...)``.
        history: a record for each epoch.
        jitter: relative jitter in use at the end.
        kept: 1-based epoch kept for each member.
    """

    parameters: Parameters
    history: tuple[EpochRecord, ...]
    jitter: float
    kept: tuple[int, ...]


def batch_plan(n: int, batch_size: int) -> tuple[int, int]:
    """Steps per epoch and rows per step: equal batches, none larger than asked for.

    Equal batches leave no small last one, whose covariances would be degenerate. Fewer rows than
    there are steps are left out of an epoch, other ones in each.
    """
    steps = -(-n // batch_size)
    return steps, n // steps


def learning_rate(settings: Settings, epoch: int) -> float:
    """Learning rate of a 0-based epoch."""
    if settings.learning_rate_schedule == "cosine":
        return settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * epoch / settings.epochs))
    return settings.learning_rate


def choose_device(device: str) -> str:
    """``auto`` is a GPU where there is one; torch is imported only if the system has a device."""
    if device != "auto":
        return device
    if not any(Path(node).exists() for node in ("/dev/nvidia0", "/dev/dxg")):
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def make_engine(
    name: str,
    device: str,
    x: NDArray[np.floating],
    sample_weight: Float | None,
    parameters: Parameters,
    settings: Settings,
) -> Engine:
    """The engine of that name on that device.

    Raises:
        ValueError: unknown engine, or the NumPy engine asked for on a GPU.
    """
    if name not in ENGINES:
        raise ValueError(f"engine {name!r} is unknown; give one of {', '.join(ENGINES)}")
    device = choose_device(device)
    if name == "numpy" and device != "cpu":
        raise ValueError(f"engine 'numpy' runs on the CPU only, not on {device!r}; use 'torch'")
    if name == "numpy" or (name == "auto" and device == "cpu"):
        from dagmm_model.engine_numpy import NumpyEngine

        return NumpyEngine(x, sample_weight, parameters, settings)
    from dagmm_model.engine_torch import TorchEngine

    return TorchEngine(x, sample_weight, parameters, settings, device)


class _Best:
    """The best epoch of each member by validation energy."""

    def __init__(self, members: int, patience: int | None) -> None:
        self.energy = np.full(members, np.inf)
        self.epoch = np.zeros(members, dtype=np.int64)
        self.waited = np.zeros(members, dtype=np.int64)
        self.parameters: Parameters = {}
        self.patience = patience

    def update(self, epoch: int, energy: Float, parameters: Parameters) -> None:
        active = np.ones(len(energy), bool)
        if self.patience is not None:  # a member that has run out of patience is settled
            active = self.waited < self.patience
        better = active & (energy < self.energy)
        if not self.parameters:
            self.parameters, better = parameters, active
        for name, value in parameters.items():
            self.parameters[name][better] = value[better]
        self.energy[better], self.epoch[better] = energy[better], epoch
        self.waited = np.where(better, 0, self.waited + active)

    def exhausted(self) -> bool:
        return self.patience is not None and bool((self.waited >= self.patience).all())


def train(
    x: NDArray[np.floating],
    settings: Settings,
    seeds: Sequence[int],
    *,
    sample_weight: Float | None = None,
    validation: NDArray[np.floating] | None = None,
    observers: Sequence[Observer] = (),
    checkpoint: Checkpointing | None = None,
    engine: str = "auto",
    device: str = "auto",
) -> Trained:
    """Train one member for each seed, all as one batched model.

    Args:
        x: ``(n, D)`` scaled rows; float32 is what the engines compute in.
        settings: of the run; ``members`` is not read, the seeds count.
        seeds: one for each member; a member's result depends on its own seed only.
        sample_weight: ``(n,)`` weights of the rows in loss and mixture statistics.
        validation: ``(m, D)`` scaled rows whose energy decides which epoch is kept, needed where
            the settings ask for early stopping or the best epoch.
        observers: called with each epoch's record.
        checkpoint: where to write checkpoints and resume from.
        engine: auto, numpy or torch.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        TrainingDiverged: a loss is not finite.
        CheckpointMismatch: the folder holds a checkpoint of another run.
    """
    selecting = settings.keep_best or settings.early_stopping is not None
    if selecting and validation is None:
        raise ValueError("choosing an epoch needs validation rows; give validation=")
    members = len(seeds)
    runner = make_engine(
        engine, device, x, sample_weight, initialise(settings, x.shape[1], seeds), settings
    )
    shuffling = [streams(seed)[1] for seed in seeds]
    dropout = [streams(seed)[2] for seed in seeds]
    steps, batch = batch_plan(len(x), settings.batch_size)
    history: list[EpochRecord] = []
    best = _Best(members, settings.early_stopping)
    for epoch in range(settings.epochs):
        started = time.perf_counter()
        good = runner.parameters()
        order = np.stack([g.permutation(len(x))[: steps * batch] for g in shuffling])
        order = order.reshape(members, steps, batch)
        losses = runner.run(order, learning_rate(settings, epoch), dropout)
        if not np.isfinite(losses[-1]).all():
            raise TrainingDiverged(epoch + 1, len(losses), _culprit(losses[-1]), good)
        energies = None
        last = epoch + 1 == settings.epochs
        if validation is not None and (last or (epoch + 1) % settings.evaluate_every == 0):
            parameters = runner.parameters()
            scorer = fit_scorer(
                parameters, settings, runner.jitter, x.__getitem__, len(x), sample_weight
            )
            energies = scorer.member_energies(validation).mean(axis=1)
            best.update(epoch + 1, energies, parameters)
        record = _record(epoch, settings, losses, energies, runner, time.perf_counter() - started)
        history.append(record)
        for observer in observers:
            observer(record)
        if best.exhausted():
            break
    if selecting:
        kept, parameters = tuple(int(e) for e in best.epoch), best.parameters
    else:
        kept, parameters = (len(history),) * members, runner.parameters()
    return Trained(parameters, tuple(history), runner.jitter, kept)


def _culprit(losses: Float) -> str:
    """The first term that is not finite, of losses ``(S, 4)``."""
    for i in (1, 2, 3):
        if not np.isfinite(losses[:, i]).all():
            return TERMS[i]
    return TERMS[0]


def _record(
    epoch: int,
    settings: Settings,
    losses: Float,
    energies: Float | None,
    runner: Any,
    seconds: float,
) -> EpochRecord:
    means = losses.mean(axis=(0, 1))
    phi, covariance = runner.mixture()
    health = [mixture_health(p, c) for p, c in zip(phi, covariance, strict=True)]
    return EpochRecord(
        epoch=epoch + 1,
        epochs=settings.epochs,
        total=float(means[0]),
        reconstruction=float(means[1]),
        energy=float(means[2]),
        penalty=float(means[3]),
        validation_energy=None if energies is None else float(energies.mean()),
        phi=tuple(float(p) for p in phi[0]),
        min_phi=min(h.min_phi for h in health),
        max_condition=max(h.max_condition for h in health),
        effective_components=float(np.mean([h.effective_components for h in health])),
        seconds=seconds,
    )
