"""The state of a training run: what observers see of it and what a checkpoint holds."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.base.checkpoint import Arrays, under
from dagmm_model.base.settings import from_json
from dagmm_model.engines.interface import Engine
from dagmm_model.mixture.mixture import mixture_health
from dagmm_model.networks.network import Parameters, streams
from dagmm_model.networks.settings import DagmmSettings

LOSSES = ("total", "reconstruction", "energy", "penalty", "validation_energy")
MIXTURE = ("min_phi", "max_condition", "effective_components")


@dataclass(frozen=True)
class EpochRecord:
    """One epoch, as observers get it.

    Attributes:
        epoch: 1-based.
        epochs: planned number of epochs.
        total: objective, mean over batches and members; so the next three.
        reconstruction: reconstruction loss.
        energy: mean sample energy.
            It and what follows is None, and phi empty, where the objective has no mixture.
        penalty: singularity penalty, without its lambda.
        validation_energy: mean energy of the validation rows, None when not evaluated.
        phi: shares of the first member's last batch.
        min_phi: smallest share of any member.
        max_condition: largest condition number of any member's covariances.
        effective_components: exponential of the entropy of phi, mean over members.
        seconds: of training and evaluating this epoch.
        held: terms of rows that were not trained on, as the epoch began; see
            `dagmm_model.training.held_out`.
    """

    epoch: int
    epochs: int
    total: float
    reconstruction: float
    energy: float | None
    penalty: float | None
    validation_energy: float | None
    phi: tuple[float, ...]
    min_phi: float | None
    max_condition: float | None
    effective_components: float | None
    seconds: float
    held: Mapping[str, float] = field(default_factory=dict)

    @property
    def terms(self) -> dict[str, float]:
        """Every figure by its name, the objective first; see `EpochLike`."""
        values = {name: getattr(self, name) for name in LOSSES} | {
            f"mixture/{name}": getattr(self, name) for name in MIXTURE
        }
        values |= {f"mixture/phi_{k}": share for k, share in enumerate(self.phi)}
        values |= {f"validation_{name}": value for name, value in self.held.items()}
        return {name: float(value) for name, value in values.items() if value is not None}


Shuffled = tuple[list[Any], list[NDArray[np.int64]], list[Any]]
"""States of the members' generators before, their orders of the rows, states after."""

AHEAD = 50_000
"""Rows, of all members, from which on a thread shuffles the next epoch while this one is trained:
of 200,000 rows it takes as long as ten of a GPU's steps, for each member."""


class BestEpoch:
    """The epoch with the lowest validation energy, for each member by itself.

    A member that has waited ``patience`` evaluations is settled, so that its result does not
    depend on how long the others go on.
    """

    def __init__(self, members: int, patience: int | None) -> None:
        self.energy = np.full(members, np.inf)
        self.epoch = np.zeros(members, dtype=np.int64)
        self.waited = np.zeros(members, dtype=np.int64)
        self.parameters: Parameters = {}
        self._patience = patience

    def update(self, epoch: int, energy: Float, parameters: Parameters) -> None:
        """Take notice of an epoch's validation energies ``(S,)``."""
        active = np.ones(len(energy), bool)
        if self._patience is not None:
            active = self.waited < self._patience
        better = active & (energy < self.energy)
        if not self.parameters:
            self.parameters, better = {n: v.copy() for n, v in parameters.items()}, active
        for name, value in parameters.items():
            self.parameters[name][better] = value[better]
        self.energy[better], self.epoch[better] = energy[better], epoch
        self.waited = np.where(better, 0, self.waited + active)

    def exhausted(self) -> bool:
        """Whether every member is settled."""
        return self._patience is not None and bool((self.waited >= self._patience).all())


class Progress:
    """Everything that changes while a run goes on.

    Attributes:
        epoch: 0-based epoch in work.
        done: steps of it that are done.
        losses: ``(done, S, 4)`` of these steps.
        held: terms of rows that are not trained on, as the epoch in work began.
        members: S.
        history: records of the epochs before.
    """

    def __init__(self, engine: Engine, settings: DagmmSettings, seeds: Sequence[int]) -> None:
        self.engine = engine
        self.epoch, self.done = 0, 0
        self.losses = np.empty((0, len(seeds), 4))
        self.held: Mapping[str, float] = {}
        self.history: list[EpochRecord] = []
        self.best = BestEpoch(len(seeds), settings.early_stopping)
        self.dropout = [streams(seed)[2] for seed in seeds]
        self._shuffling = [streams(seed)[1] for seed in seeds]
        self._shuffling_before = self._shuffling_after = self._states()
        self._coming: Future[Shuffled] | None = None
        self._epochs, self.members = settings.epochs, len(seeds)

    def shuffled(self, rows: Sequence[int]) -> list[NDArray[np.int64]]:
        """Each member's rows ``(n,)``, so many, shuffled for the epoch in work."""
        coming = self._coming or self._shuffled(rows)
        self._shuffling_before, shuffled, self._shuffling_after = (
            coming.result() if isinstance(coming, Future) else coming
        )
        self._coming = None
        if sum(rows) >= AHEAD and self.epoch + 1 < self._epochs:
            pool = ThreadPoolExecutor(1)
            self._coming = pool.submit(self._shuffled, rows)
            pool.shutdown(wait=False)
        return shuffled

    def _shuffled(self, rows: Sequence[int]) -> Shuffled:
        before = self._states()
        orders = [g.permutation(n) for g, n in zip(self._shuffling, rows, strict=True)]
        return before, orders, self._states()

    def _states(self) -> list[Any]:
        return [g.bit_generator.state for g in self._shuffling]

    def next_epoch(self, record: EpochRecord) -> None:
        """The epoch is done."""
        self.history.append(record)
        self.epoch, self.done, self.losses = self.epoch + 1, 0, self.losses[:0]
        self._shuffling_before = self._shuffling_after

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays and JSON-able values from which `restore` goes on, to the last bit."""
        arrays: Arrays = {f"engine.{n}": v for n, v in self.engine.state().items()}
        arrays |= {f"best.{n}": v for n, v in self.best.parameters.items()}
        arrays |= {
            "losses": self.losses,
            "best_energy": self.best.energy,
            "best_epoch": self.best.epoch,
            "best_waited": self.best.waited,
        }
        return arrays, {
            "epoch": self.epoch,
            "done": self.done,
            "held": dict(self.held),
            "shuffling": self._shuffling_before,
            "dropout": [g.bit_generator.state for g in self.dropout],
            "history": [asdict(record) for record in self.history],
        }

    def restore(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """Go on from a `snapshot`."""
        self.engine.load(under("engine.", arrays))
        self.epoch, self.done = values["epoch"], values["done"]
        self.held = values.get("held", {})  # none in a checkpoint from before there were any
        self.losses = arrays["losses"].astype(np.float64)
        self.history = [from_json(EpochRecord, record) for record in values["history"]]
        for generators, states in (
            (self._shuffling, values["shuffling"]),
            (self.dropout, values["dropout"]),
        ):
            for generator, state in zip(generators, states, strict=True):
                generator.bit_generator.state = state
        self._shuffling_before = self._shuffling_after = values["shuffling"]
        self.best.energy = arrays["best_energy"].astype(np.float64)
        self.best.epoch = arrays["best_epoch"].astype(np.int64)
        self.best.waited = arrays["best_waited"].astype(np.int64)
        self.best.parameters = {
            name: value.astype(value.dtype, copy=True)
            for name, value in under("best.", arrays).items()
        }

    def record(
        self,
        settings: DagmmSettings,
        energies: Float | None,
        seconds: float,
        members: slice = slice(None),
    ) -> EpochRecord:
        """The record of the epoch in work, its steps being done, for some members or all."""
        means = self.losses[:, members].mean(axis=(0, 1))
        mixture = self.engine.mixture()
        mixture = None if mixture is None else (mixture[0][members], mixture[1][members])
        health = [] if mixture is None else [mixture_health(*m) for m in zip(*mixture, strict=True)]
        return EpochRecord(
            epoch=self.epoch + 1,
            epochs=settings.epochs,
            total=float(means[0]),
            reconstruction=float(means[1]),
            energy=float(means[2]) if health else None,
            penalty=float(means[3]) if health else None,
            validation_energy=None if energies is None else float(energies.mean()),
            phi=() if mixture is None else tuple(float(p) for p in mixture[0][0]),
            min_phi=min((h.min_phi for h in health), default=None),
            max_condition=max((h.max_condition for h in health), default=None),
            effective_components=float(np.mean([h.effective_components for h in health]))
            if health
            else None,
            seconds=seconds,
            held=self.held,
        )
