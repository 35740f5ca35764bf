"""The training of every baseline that learns by gradients: any networks, any losses.

A baseline hands over its networks, its optimisers and what one step does; the rest is here and in
`dagmm_model.training.epochs`, the loop that a DAGMM goes through, too:
equal batches in a seeded order, one record an epoch, checkpoints that a killed run goes on from to
the same bits, an average of the weights, and an end with a clear error when a loss is not finite.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dagmm_model.base.arrays import Float
from dagmm_model.base.checkpoint import Arrays, CheckpointStore, digest, under
from dagmm_model.engines.choice import Device, choose_device
from dagmm_model.training.baseline_settings import TrainingSettings
from dagmm_model.training.epochs import USUAL, Epoch, Execution, TrainingDiverged, run_epochs
from dagmm_model.training.feed import batch_plan

ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Work:
    """What is trained.

    Attributes:
        networks: everything that changes: parameters and buffers.
        optimisers: by name, over parts of the networks.
        step: one step on a batch ``(b, D)`` in the epoch of that 0-based number; it moves the
            parameters and returns the losses by name, the same ones throughout an epoch. All random
            numbers come from torch's global generator, which the loop seeds for every step.
        begin_epoch: called with the epoch's number and all rows before its first step; after the
            last epoch, with the number that would follow, too.
    """

    networks: nn.Module
    optimisers: Mapping[str, torch.optim.Optimizer]
    step: Callable[[Tensor, int], dict[str, Tensor]]
    begin_epoch: Callable[[int, Tensor], None] = lambda epoch, x: None


@contextmanager
def reproducible(seed: int, device: str = "cpu") -> Iterator[None]:
    """Torch's global generator seeded and one thread used within; both as before afterwards.

    One thread, because the order in which threads add up decides the last bits.
    """
    threads = torch.get_num_threads()
    devices = [torch.device(device)] if device != "cpu" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def seed_of(seed: int, *key: int) -> int:
    """A seed for one purpose, from the detector's seed."""
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)[0])


def train_networks(
    build: Callable[[], Work],
    x: NDArray[np.float32],
    settings: TrainingSettings,
    seed: int,
    how: Execution = USUAL,
    *,
    name: str,
    epochs: int,
) -> tuple[Arrays, tuple[Epoch, ...], Device]:
    """Train networks on scaled rows.

    Args:
        build: makes the networks, on the CPU, from torch's seeded global generator.
        x: ``(n, D)`` scaled rows.
        settings: of the run, with a batch size.
        seed: of starting values, order of the rows and everything drawn in a step.
        how: the training is run; its device is one of the settings.
        name: of the detector, part of a checkpoint's identity.
        epochs: planned number, all phases together.

    Returns:
        Parameters and buffers of the networks by name, averaged where the settings say so, the
        records, and where they were trained.

    Raises:
        TrainingDiverged: a loss is not finite; the parameters after that step are attached.
        CheckpointMismatch: the folder holds a checkpoint of another run.
    """
    with reproducible(seed_of(seed, 0)):  # only to see how large they are
        weights = sum(parameter.numel() for parameter in build().networks.parameters())
    chosen = choose_device(settings.device, float(len(x)) * weights * epochs)
    device = chosen.name
    with reproducible(seed_of(seed, 0), device):
        run = _Run(build(), torch.as_tensor(x).to(device), settings, seed, device, epochs)
        store = None
        if how.checkpoint is not None:
            identity = {
                "detector": name,
                "settings": asdict(settings),
                "seed": seed,
                "rows": digest(x),
            }
            if device != "cpu":  # which draws other numbers
                identity["device"] = torch.device(device).type
            store = CheckpointStore(how.checkpoint, identity, defaults=asdict(type(settings)()))
        run_epochs(run, store, how.observers)
        run.work.begin_epoch(run.epochs, run.x)
        return run.result(), tuple(run.history), chosen


class _Run:
    """The training of a baseline's networks; see `dagmm_model.training.epochs.TrainingState`."""

    def __init__(
        self,
        work: Work,
        x: Tensor,
        settings: TrainingSettings,
        seed: int,
        device: str,
        epochs: int,
    ) -> None:
        assert settings.batch_size is not None
        self.epochs = epochs
        self.work, self.x, self.seed, self.decay = work, x, seed, settings.average
        # On a CPU without CUDA's half, which keeps a formatted stack of every call.
        on_cpu = torch.device(device).type == "cpu"
        self.draw_from = torch.default_generator.manual_seed if on_cpu else torch.manual_seed
        work.networks.to(device)
        self.steps, self.batch = batch_plan(len(x), settings.batch_size)
        self.epoch, self.done = 0, 0
        self.names: tuple[str, ...] = ()
        self.sums: Float = np.zeros(0)
        self.history: list[Epoch] = []
        self.parameters = dict(work.networks.named_parameters())
        self.averaged = {n: p.detach().clone() for n, p in self.parameters.items()}

    def over(self) -> bool:
        """After the last epoch."""
        return self.epoch >= self.epochs

    def finish_epoch(self, store: CheckpointStore | None) -> None:
        """See `Training.finish_epoch`.

        The order of the rows and what a step draws follow from the seed and the step's number, so
        that there is no generator whose state would have to be kept.
        """
        shuffled = np.random.default_rng(seed_of(self.seed, 1, self.epoch)).permutation(len(self.x))
        order = torch.as_tensor(shuffled[: self.steps * self.batch], device=self.x.device)
        draws = seed_of(self.seed, 2, self.epoch) >> 1
        self.work.networks.train()
        if self.done == 0:
            self.draw_from(draws)
            self.work.begin_epoch(self.epoch, self.x)
        for rows in order.view(self.steps, self.batch)[self.done :]:
            self.draw_from(draws + 1 + self.done)
            terms = self.work.step(self.x[rows], self.epoch)
            values = torch.stack([t.detach() for t in terms.values()]).double().cpu().numpy()
            self.names = tuple(terms)
            self.sums = values if self.done == 0 else self.sums + values
            self.done += 1
            if not np.isfinite(values).all():
                culprit = self.names[int(np.flatnonzero(~np.isfinite(values))[0])]
                raise TrainingDiverged(self.epoch + 1, self.done, culprit, self.result())
            self._average()
            if store is not None and self.done < self.steps and store.due():
                store.write(*self.snapshot())

    def _average(self) -> None:
        if self.decay > 0:
            steps = self.epoch * self.steps + self.done
            weight = max(1.0 - self.decay, 1.0 / steps)  # the starting values take no part
            with torch.no_grad():
                torch._foreach_lerp_(
                    list(self.averaged.values()), list(self.parameters.values()), weight
                )

    def end_epoch(self, started: float) -> Epoch:
        terms = dict(zip(self.names, (self.sums / self.steps).tolist(), strict=True))
        record = Epoch(self.epoch + 1, self.epochs, terms, time.perf_counter() - started)
        self.history.append(record)
        self.epoch, self.done = self.epoch + 1, 0
        return record

    def result(self) -> dict[str, Any]:
        """Parameters, averaged where there is an average, and buffers, as copies."""
        weights = dict(self.work.networks.state_dict())
        if self.decay > 0 and (self.epoch or self.done):
            weights |= self.averaged
        return {n: v.detach().cpu().numpy().copy() for n, v in weights.items()}

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        arrays = {f"network.{n}": v for n, v in self.work.networks.state_dict().items()}
        arrays |= {f"average.{n}": v for n, v in self.averaged.items()}
        for name, optimiser in self.work.optimisers.items():
            for i, state in optimiser.state_dict()["state"].items():
                arrays |= {f"optimiser.{name}.{i}.{key}": state[key] for key in ADAM_STATE}
        values = {
            "epoch": self.epoch,
            "done": self.done,
            "names": self.names,
            "sums": self.sums.tolist(),
            "history": [asdict(record) for record in self.history],
        }
        return {n: v.detach().cpu().numpy().copy() for n, v in arrays.items()}, values

    def restore(self, arrays: Arrays, values: dict[str, Any]) -> None:
        tensors = {name: torch.as_tensor(np.array(array)) for name, array in arrays.items()}
        self.work.networks.load_state_dict(under("network.", tensors))
        for name, value in under("average.", tensors).items():
            self.averaged[name].copy_(value)
        for name, optimiser in self.work.optimisers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in under(f"optimiser.{name}.", tensors).items():
                i, entry = key.split(".")
                state.setdefault(int(i), {})[entry] = value
            optimiser.load_state_dict(optimiser.state_dict() | {"state": state})
        self.epoch, self.done = values["epoch"], values["done"]
        self.names, self.sums = tuple(values["names"]), np.array(values["sums"])
        self.history = [Epoch(**record) for record in values["history"]]
