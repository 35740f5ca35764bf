"""EGBAD: anomaly detection with a bidirectional GAN (Zenati et al., ICLR workshop 2018).

An encoder is trained with the GAN, so that a row's latent position needs no search. A(x) = alpha
times the L1 reconstruction error plus (1 - alpha) times the L1 distance of the discriminator's
features of (x, E(x)) and (G(E(x)), E(x)) (section 2, equation 1, feature matching).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from dagmm_model.detectors.baselines.adversarial import gan
from dagmm_model.detectors.baselines.deep.trained import Descent, Losses
from dagmm_model.training.blocks import JointCritic, discrimination


@dataclass(frozen=True)
class BiganSettings(gan.GanSettings):
    """Settings of EGBAD.

    Attributes:
        branch_width: units of the layer that each of x and z has of its own in the discriminator.
        alpha: weight of the reconstruction error in the score.
    """

    branch_width: int = 128
    critic_widths: tuple[int, ...] = (128,)
    alpha: float = 0.9

    most: ClassVar[dict[str, float]] = gan.GanSettings.most | {"alpha": 1.0}


class EfficientGan(gan.GanDetector[BiganSettings]):
    """EGBAD on a BiGAN."""

    name = "egbad"
    settings_type = BiganSettings

    def _networks(self, width: int) -> nn.Module:
        settings = self.settings_
        critic = JointCritic(
            width,
            gan.resolved_latent_width(settings),
            settings.branch_width,
            settings.critic_widths,
            **gan.critic_options(settings),
        )
        return nn.ModuleDict(
            {
                "generator": gan.generator(settings, width),
                "encoder": gan.encoder(settings, width),
                "critic": critic,
            }
        )

    def _step(self, networks: nn.ModuleDict, rows: Tensor, epoch: int, down: Descent) -> Losses:
        critic, z = networks["critic"], gan.latent_rows(self.settings_, rows)
        made, codes = networks["generator"](z), networks["encoder"](rows)
        telling = discrimination(critic, (rows, codes.detach()), (made.detach(), z))
        down("critics", telling)
        deceiving = discrimination(critic, (made, z), (rows, codes))
        down("makers", deceiving)
        return {"discriminator": telling, "adversarial": deceiving}

    def _score_rows(self, networks: nn.ModuleDict, x: Tensor) -> Tensor:
        z = networks["encoder"](x)
        again = networks["generator"](z)
        features = networks["critic"](x, z)[1] - networks["critic"](again, z)[1]
        alpha = self.settings_.alpha
        return alpha * gan.absolute(x - again) + (1.0 - alpha) * gan.absolute(features)
