"""Deep support vector data description (Ruff et al., *Deep One-Class Classification*, ICML 2018).

A network maps normal rows close to a centre c; a row's score is its squared distance to it. The
loss has trivial solutions that send every row to c, a *hypersphere of radius 0*. The paper's
section 3.3 names what allows them, and none of it is here:

- biases could make the last layer the constant c: no layer has one (proposition 2);
- all weights 0 send every row to 0: c, the mean output of the network at its start, is moved away
  from 0 in every coordinate (proposition 1);
- a bounded activation that saturates is a constant, and as good as a bias: all are leaky
  rectifiers, and the last layer has none (proposition 3).

The authors start from a pre-trained autoencoder; over nine tables of ADBench that detected less
(mean ROC AUC .682 against .693), and is left out.

That it did not happen all the same is checked, not hoped: `spread`, the variance of the training
rows' outputs over what it was before, is a term of every epoch, and a training that ends with
next to none is an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dagmm_model.base.arrays import Float
from dagmm_model.detectors.baselines.deep.trained import Descent, Losses, TrainedDetector
from dagmm_model.detectors.interface import Arrays
from dagmm_model.training.baseline_settings import TrainingSettings
from dagmm_model.training.blocks import mlp
from dagmm_model.training.epochs import Execution

NEAREST = 0.1
"""Least distance of the centre's coordinates from 0, as in the authors' code."""

COLLAPSED = 1e-6
"""Share of the variance at the start below which the outputs are one point."""


class HypersphereCollapse(ValueError):
    """Every training row is mapped to one point: the distance says nothing."""


@dataclass(frozen=True)
class DeepSvddSettings(TrainingSettings):
    """Settings of Deep SVDD.

    Attributes:
        widths: units of the layers, the last is the output.
        weight_decay: weight of half the squared norm of the weights (lambda in equation 4).
    """

    widths: tuple[int, ...] = (128, 64, 32)
    weight_decay: float = 1e-6


class Sphere(nn.Module):
    """A network without biases, and the centre ``(L,)``."""

    centre: Tensor
    variance: Tensor

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.encoder = mlp(widths, bias=False)
        self.register_buffer("centre", torch.zeros(widths[-1]))
        self.register_buffer("variance", torch.zeros(()))

    def start(self, x: Tensor) -> None:
        """The centre, and the variance of the outputs, of all rows ``(n, D)``."""
        outputs = self.encoder(x)
        mean = outputs.mean(0)
        away = torch.where(mean < 0, -NEAREST, NEAREST)
        self.centre.copy_(torch.where(mean.abs() < NEAREST, away, mean))
        self.variance.copy_(outputs.var(0, correction=0).sum())

    def spread(self, outputs: Tensor) -> Tensor:
        """Variance of outputs ``(b, L)`` over that at the start; 1 where there was none."""
        variance = outputs.var(0, correction=0).sum()
        return torch.where(self.variance > 0, variance / self.variance, torch.ones(()).to(variance))

    def distances(self, outputs: Tensor) -> Tensor:
        """Squared distance to the centre, ``(b,)``."""
        return (outputs - self.centre).square().sum(1)


class DeepSvdd(TrainedDetector[DeepSvddSettings]):
    """Deep SVDD; the score is the squared distance to the centre."""

    name = "deep-svdd"
    settings_type = DeepSvddSettings
    optimised: ClassVar[dict[str, tuple[str, ...]]] = {"adam": ("encoder",)}

    def _networks(self, width: int) -> nn.Module:
        return Sphere((width, *self.settings_.widths))

    def _begin_epoch(self, networks: Sphere, epoch: int, x: Tensor) -> None:
        if epoch == 0:
            with torch.no_grad():
                networks.start(x)

    def _step(self, networks: Sphere, rows: Tensor, epoch: int, down: Descent) -> Losses:
        outputs = networks.encoder(rows)
        distance = networks.distances(outputs).mean()
        squares = torch.stack([w.square().sum() for w in networks.encoder.parameters()]).sum()
        total = distance + 0.5 * self.settings_.weight_decay * squares
        down("adam", total)
        return {"total": total, "distance": distance, "spread": networks.spread(outputs)}

    def _train(self, x: Float, how: Execution) -> Arrays:
        """Train, and refuse a network that maps every training row to one point."""
        arrays = super()._train(x, how)
        networks: Sphere = self._with(arrays, x.shape[1])
        with torch.no_grad():
            outputs = networks.encoder(torch.as_tensor(x.astype(np.float32)))
        spread = float(networks.spread(outputs))
        if not spread > COLLAPSED:
            raise HypersphereCollapse(
                f"deep-svdd collapsed: its outputs vary {spread:.1e} times as much as before "
                "training, so that every row is at one point; lower epochs, learning_rate or "
                "weight_decay"
            )
        return arrays

    def _score_rows(self, networks: Sphere, x: Tensor) -> Tensor:
        return networks.distances(networks.encoder(x))
