"""Deep structured energy-based models (Zhai, Cheng, Lu and Zhang, ICML 2016).

The energy of a row is a quadratic well minus the last layer of a softplus network; its gradient is
an autoencoder's residual, so that the model is trained as a denoising autoencoder (score matching).
Two criteria: the reconstruction error (DSEBM-r) and the energy itself (DSEBM-e).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from dagmm_model.detectors.baselines.deep.trained import Descent, Losses, TrainedDetector
from dagmm_model.training.baseline_settings import TrainingSettings
from dagmm_model.training.blocks import dense


@dataclass(frozen=True)
class DsebmSettings(TrainingSettings):
    """Settings of DSEBM.

    Attributes:
        widths: units of the hidden layers.
        noise: standard deviation of the noise that training adds to the scaled rows.
    """

    widths: tuple[int, ...] = (128, 512)
    noise: float = 1.0


class StructuredEnergy(nn.Module):
    """The energy and the reconstruction that its gradient is (section 3.1, equations 5 to 8)."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.layers: Any = nn.ModuleList(dense(a, b) for a, b in pairwise(widths))
        self.visible = nn.Parameter(torch.zeros(widths[0]))

    def energy(self, x: Tensor) -> Tensor:
        """E(x) = ||x - b'||² / 2 - sum of the last layer: ``(b,)`` of ``(b, D)``."""
        hidden = x
        for layer in self.layers:
            hidden = softplus(layer(hidden))
        return 0.5 * (x - self.visible).square().sum(1) - hidden.sum(1)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The row minus the gradient of E, ``(b, D)``.

        Backpropagation written out: its own gradient then costs one pass.
        """
        hidden, slopes = x, []
        for layer in self.layers:
            before = layer(hidden)
            hidden, slope = softplus(before), torch.sigmoid(before)
            slopes.append(slope)
        back = slopes[-1]
        for layer, slope in zip(list(self.layers)[:0:-1], slopes[-2::-1], strict=True):
            back = linear(back, layer.weight.T) * slope
        return linear(back, self.layers[0].weight.T) + self.visible


class DsebmEnergy(TrainedDetector[DsebmSettings]):
    """DSEBM-e: the model's energy is the score."""

    name = "dsebm-e"
    settings_type = DsebmSettings
    optimised: ClassVar[dict[str, tuple[str, ...]]] = {"adam": ("",)}  # all of it

    def _networks(self, width: int) -> nn.Module:
        return StructuredEnergy((width, *self.settings_.widths))

    def _step(self, networks: StructuredEnergy, rows: Tensor, epoch: int, down: Descent) -> Losses:
        noisy = rows + self.settings_.noise * torch.randn_like(rows)
        loss = (rows - networks.reconstruct(noisy)).square().sum(1).mean()
        down("adam", loss)
        return {"denoising": loss}

    def _score_rows(self, networks: StructuredEnergy, x: Tensor) -> Tensor:
        return networks.energy(x)


class DsebmReconstruction(DsebmEnergy):
    """DSEBM-r: the squared norm of the energy's gradient, which is the reconstruction error."""

    name = "dsebm-r"

    def _score_rows(self, networks: StructuredEnergy, x: Tensor) -> Tensor:
        return (x - networks.reconstruct(x)).square().sum(1)
