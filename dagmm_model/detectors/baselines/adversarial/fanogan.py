"""f-AnoGAN: a Wasserstein GAN, then an encoder into its latent space (Schlegl et al., 2019).

The encoder is trained with generator and critic fixed (izi_f: row, latent point, row, with the
critic's features as a guide), and takes the place of AnoGAN's search: one pass a row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from dagmm_model.detectors.baselines.adversarial import gan
from dagmm_model.detectors.baselines.deep.trained import Descent, Losses
from dagmm_model.training.blocks import Critic


@dataclass(frozen=True)
class FanoganSettings(gan.GanSettings):
    """Settings of f-AnoGAN.

    Attributes:
        encoding: epochs of the encoder, after the ``epochs`` of the GAN; half as many as those
            where None.
        critic_steps: steps of the critic for each one of the generator.
        gradient_penalty: weight of the critic's gradient penalty.
        kappa: weight of the feature distance in the encoder's loss and in the score.
    """

    encoding: int | None = None
    critic_steps: int = 5
    gradient_penalty: float = 10.0
    kappa: float = 1.0
    dropout: float = 0.0

    least: ClassVar[dict[str, float]] = gan.GanSettings.least | {"encoding": 0}


class FastAnogan(gan.GanDetector[FanoganSettings]):
    """f-AnoGAN with the izi_f encoder."""

    name = "f-anogan"
    settings_type = FanoganSettings
    optimised: ClassVar[dict[str, tuple[str, ...]]] = {
        "critics": ("critic",),
        "makers": ("generator",),
        "encoders": ("encoder",),
    }
    # Of the Wasserstein GAN, see Gulrajani et al. (2017).
    betas: ClassVar[dict[str, tuple[float, float]]] = dict.fromkeys(
        ("critics", "makers"), (0.0, 0.9)
    )

    def settings_for(self, n_rows: int, n_columns: int) -> FanoganSettings:
        settings = super().settings_for(n_rows, n_columns)
        half = ((settings.epochs or 0) + 1) // 2
        return replace(settings, encoding=half if settings.encoding is None else settings.encoding)

    def _epochs(self) -> int:
        return (self.settings_.epochs or 0) + (self.settings_.encoding or 0)

    def _networks(self, width: int) -> nn.Module:
        settings = self.settings_
        networks = nn.ModuleDict(
            {
                "generator": gan.generator(settings, width),
                "encoder": gan.encoder(settings, width),
                "critic": Critic((width, *settings.critic_widths), **gan.critic_options(settings)),
            }
        )
        networks.register_buffer("turn", torch.zeros((), dtype=torch.int64))
        return networks

    def _step(self, networks: nn.ModuleDict, rows: Tensor, epoch: int, down: Descent) -> Losses:
        settings, critic = self.settings_, networks["critic"]
        if epoch >= (settings.epochs or 0):
            loss = self._distance(networks, rows).mean()
            down("encoders", loss)
            return {"encoder": loss}
        made = networks["generator"](gan.latent_rows(settings, rows))
        distance = critic(rows)[0].mean() - critic(made.detach())[0].mean()
        penalty = _gradient_penalty(critic, rows, made.detach())
        down("critics", settings.gradient_penalty * penalty - distance)
        updates = networks.get_buffer("turn")
        updates += 1
        if int(updates) % settings.critic_steps == 0:
            down("makers", -critic(made)[0].mean())
        return {"wasserstein": distance}

    def _distance(self, networks: nn.ModuleDict, x: Tensor) -> Tensor:
        """Mean squares of residual and feature distance, ``(b,)`` (section 3.3, equation 5)."""
        again = networks["generator"](networks["encoder"](x))
        features = networks["critic"](x)[1] - networks["critic"](again)[1]
        matching = self.settings_.kappa * features.square().mean(1)
        distance: Tensor = (x - again).square().mean(1) + matching
        return distance

    def _score_rows(self, networks: nn.ModuleDict, x: Tensor) -> Tensor:
        return self._distance(networks, x)


def _gradient_penalty(critic: nn.Module, rows: Tensor, made: Tensor) -> Tensor:
    mix = torch.rand(len(rows), 1, device=rows.device)
    between = (mix * rows + (1.0 - mix) * made).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between)[0].sum(), between, create_graph=True)
    excess: Tensor = slope.norm(dim=1) - 1.0
    return excess.square().mean()
