"""A baseline that is networks trained by the loop and scored in double precision."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from dagmm_model.base.arrays import Float
from dagmm_model.detectors.base import ScaledDetector
from dagmm_model.detectors.interface import Arrays
from dagmm_model.engines.choice import scoring_device
from dagmm_model.engines.interface import BETAS
from dagmm_model.training.autograd import Work, reproducible, train_networks
from dagmm_model.training.baseline_settings import TrainingSettings
from dagmm_model.training.blocks import adam_of, descend
from dagmm_model.training.epochs import Execution
from dagmm_model.training.feed import batch_plan

T = TypeVar("T", bound=TrainingSettings)

Losses = dict[str, Tensor]
Descent = Callable[[str, Tensor], None]
"""A step of the optimiser of that name down a loss."""

EPOCHS, STEPS = 200, 6_000
"""Most epochs and most steps of a training whose settings leave its length open."""

LARGE = 10_000
"""Rows from which batches are of 256."""


class TrainedDetector(ScaledDetector[T]):
    """Networks of a width, what a training step does with them, and a score.

    A subclass writes `_networks`, `_step` and `_score_rows`. Rows are scored in float64, so that
    a row's energy does not depend on the rows it is scored with beyond the last digits.

    Attributes:
        optimised: of each optimiser, by its name, the parts of the networks that it moves.
        betas: decay of Adam's moments by the optimiser's name, where that is not the usual one.
    """

    scoring_dtype = torch.float64
    optimised: ClassVar[Mapping[str, Sequence[str]]]
    betas: ClassVar[Mapping[str, tuple[float, float]]] = {}

    def settings_for(self, n_rows: int, n_columns: int) -> T:
        """See `Detector.settings_for`: at most `EPOCHS` epochs and `STEPS` steps."""
        settings = self._asked
        batch = settings.batch_size or (128 if n_rows < LARGE else 256)
        steps, _ = batch_plan(n_rows, batch)
        usual = max(1, min(EPOCHS, STEPS // steps))
        epochs = usual if settings.epochs is None else settings.epochs
        return replace(settings, batch_size=batch, epochs=epochs)

    def _networks(self, width: int) -> nn.Module:
        """New networks for rows of this width."""
        raise NotImplementedError

    def _step(self, networks: Any, rows: Tensor, epoch: int, down: Descent) -> Losses:
        """Move the networks by a batch of rows ``(b, D)``; the losses, see `Work.step`."""
        raise NotImplementedError

    def _begin_epoch(self, networks: Any, epoch: int, x: Tensor) -> None:
        """What comes before an epoch's first step, see `Work.begin_epoch`; nothing by default."""

    def _work(self, networks: nn.Module) -> Work:
        optimisers = {
            name: adam_of(
                [networks.get_submodule(part) for part in parts],
                self.settings_.learning_rate,
                self.betas.get(name, BETAS),
            )
            for name, parts in self.optimised.items()
        }

        def down(name: str, loss: Tensor) -> None:
            descend(optimisers[name], loss)

        return Work(
            networks,
            optimisers,
            lambda rows, epoch: self._step(networks, rows, epoch, down),
            lambda epoch, x: self._begin_epoch(networks, epoch, x),
        )

    def _score_rows(self, networks: Any, x: Tensor) -> Tensor:
        """Energy ``(m,)`` of scaled rows ``(m, D)``, networks in evaluation mode."""
        raise NotImplementedError

    def _epochs(self) -> int:
        """Epochs of all phases together."""
        return self.settings_.epochs or 0

    def _train(self, x: Float, how: Execution) -> Arrays:
        arrays, self.history_, self.device_ = train_networks(
            lambda: self._work(self._networks(x.shape[1])),
            x.astype(np.float32),
            self.settings_,
            self.seed,
            how,
            name=self.name,
            epochs=self._epochs(),
        )
        return arrays

    def _with(self, weights: Arrays, width: int) -> Any:
        """Networks for rows of this width, with these parameters and buffers."""
        with reproducible(0):  # starting values are drawn and overwritten
            networks = self._networks(width)
        networks.load_state_dict({name: torch.as_tensor(a) for name, a in weights.items()})
        return networks

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        weights = {name: a for name, a in self._arrays.items() if name[:7] != "scaler."}
        networks: nn.Module = self._with(weights, len(self._scaler.centre))
        self._ready = networks.to(self.scoring_dtype).eval().requires_grad_(False)
        self._device = scoring_device(self.settings_.device)
        self._ready.to(self._device)

    def _score(self, x: Float) -> Float:
        with reproducible(0, self._device):
            rows = torch.as_tensor(x, dtype=self.scoring_dtype, device=self._device)
            energies = self._score_rows(self._ready, rows)
        return energies.double().cpu().numpy()
