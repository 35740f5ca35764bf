"""What the adversarial rivals share: settings, networks of their papers' tables, presets.

The published settings for tables are those of Zenati et al. (2018; 2018b) on KDDCUP and
Arrhythmia: networks, latent width, Adam with beta1 = 0.5, averaged weights for scoring. They train
with batches of 50 and 32 rows at a learning rate of 1e-5 for 100 and 1000 epochs; the presets keep
the networks and train with larger batches and rates, which needs a small share of the steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from dagmm_model.rivals.loop import TrainingSettings
from dagmm_model.rivals.networks import mlp

BETAS = (0.5, 0.999)


@dataclass(frozen=True)
class GanSettings(TrainingSettings):
    """Settings of the adversarial rivals.

    Attributes:
        latent: coordinates of the latent space, in which rows are standard normal.
        generator_widths: units of the generator's hidden layers.
        encoder_widths: units of the encoder's hidden layers, where there is an encoder.
        critic_widths: units of the discriminator's hidden layers; the last one's are the features.
        dropout: rate in the discriminators.
    """

    latent: int = 16
    generator_widths: tuple[int, ...] = (64, 128)
    encoder_widths: tuple[int, ...] = (128, 64)
    critic_widths: tuple[int, ...] = (128, 128)
    dropout: float = 0.2
    epochs: int = 100
    learning_rate: float = 3e-4
    average: float = 0.999

    most: ClassVar[dict[str, float]] = {"average": 0.9999999, "dropout": 0.9}


def generator(settings: GanSettings, width: int) -> nn.Sequential:
    """From latent rows ``(b, latent)`` to rows ``(b, width)``."""
    return mlp((settings.latent, *settings.generator_widths, width), "relu")


def encoder(settings: GanSettings, width: int) -> nn.Sequential:
    """From rows ``(b, width)`` to latent rows ``(b, latent)``."""
    return mlp((width, *settings.encoder_widths, settings.latent))


def presets(**extra: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The four data sets' settings; ``extra`` adds to each by its name."""
    kdd = {"latent": 32, "generator_widths": (64, 128), "encoder_widths": (64,), "batch_size": 1024}
    named = {
        "recommended": {},
        "kddcup": {**kdd, "epochs": 20},
        "kddcup-rev": {**kdd, "epochs": 60},
        "thyroid": {
            "latent": 3,
            "generator_widths": (32, 64),
            "encoder_widths": (64, 32),
            "epochs": 200,
        },
        "arrhythmia": {
            "latent": 64,
            "generator_widths": (128, 256),
            "encoder_widths": (256, 128),
            "batch_size": 32,
            "epochs": 200,
        },
    }
    return {name: values | extra.get(name.replace("-", "_"), {}) for name, values in named.items()}


def absolute(difference: Tensor) -> Tensor:
    """L1 norm of each row, ``(b,)``."""
    return difference.abs().sum(1)
