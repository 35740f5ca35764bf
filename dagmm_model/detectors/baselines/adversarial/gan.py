"""What the adversarial baselines share: settings, networks of their papers' tables, presets.

The published settings for tables are those of Zenati et al. (2018; 2018b) on KDDCUP and
Arrhythmia: networks, latent width, Adam with beta1 = 0.5, averaged weights for scoring. They train
with batches of 50 and 32 rows at a learning rate of 1e-5 for 100 and 1000 epochs; the presets keep
the networks and take larger rates and a small share of the steps.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from dagmm_model.detectors.baselines.deep.trained import TrainedDetector
from dagmm_model.training.baseline_settings import TrainingSettings
from dagmm_model.training.blocks import mlp


@dataclass(frozen=True)
class GanSettings(TrainingSettings):
    """Settings of the adversarial baselines.

    Attributes:
        latent: coordinates of the latent space, in which rows are standard normal; a quarter of
            the columns where None, from 2 to 32.
        generator_widths: units of the generator's hidden layers.
        encoder_widths: units of the encoder's hidden layers, where there is an encoder.
        critic_widths: units of the discriminator's hidden layers; the last one's are the features.
        dropout: rate in the discriminators.
        spectral_norm: divide the discriminators' weights by their largest singular values.
    """

    latent: int | None = None
    generator_widths: tuple[int, ...] = (64, 128)
    encoder_widths: tuple[int, ...] = (128, 64)
    critic_widths: tuple[int, ...] = (128, 128)
    dropout: float = 0.2
    spectral_norm: bool = False
    learning_rate: float = 3e-4
    average: float = 0.999

    most: ClassVar[dict[str, float]] = {"average": 0.9999999, "dropout": 0.9}


def generator(settings: GanSettings, width: int) -> nn.Sequential:
    """From latent rows ``(b, latent)`` to rows ``(b, width)``."""
    return mlp((resolved_latent_width(settings), *settings.generator_widths, width), "relu")


def encoder(settings: GanSettings, width: int) -> nn.Sequential:
    """From rows ``(b, width)`` to latent rows ``(b, latent)``."""
    return mlp((width, *settings.encoder_widths, resolved_latent_width(settings)))


def critic_options(settings: GanSettings) -> dict[str, Any]:
    """Dropout and spectral norm, for the networks' constructors."""
    return {"dropout": settings.dropout, "spectral": settings.spectral_norm}


def resolved_latent_width(settings: GanSettings) -> int:
    """Coordinates of the latent space, resolved."""
    assert settings.latent is not None
    return settings.latent


def latent_rows(settings: GanSettings, rows: Tensor) -> Tensor:
    """As many standard normal latent rows as there are rows."""
    return torch.randn(len(rows), resolved_latent_width(settings), device=rows.device)


G = TypeVar("G", bound=GanSettings)


class GanDetector(TrainedDetector[G]):
    """A trained detector with a latent space, whose width may follow from the table's.

    Its critics and its makers have an optimiser each, and are moved in turns.
    """

    optimised: ClassVar[dict[str, tuple[str, ...]]] = {
        "critics": ("critic",),
        "makers": ("generator", "encoder"),
    }
    betas: ClassVar[dict[str, tuple[float, float]]] = dict.fromkeys(optimised, (0.5, 0.999))

    def settings_for(self, n_rows: int, n_columns: int) -> G:
        settings = super().settings_for(n_rows, n_columns)
        return replace(settings, latent=settings.latent or max(2, min(32, n_columns // 4)))


def absolute(difference: Tensor) -> Tensor:
    """L1 norm of each row, ``(b,)``."""
    return difference.abs().sum(1)
