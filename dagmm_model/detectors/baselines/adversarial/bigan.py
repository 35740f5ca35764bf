"""Bidirectional GANs, whose encoder makes the search for a row's latent position unnecessary.

EGBAD (Zenati et al., ICLR workshop 2018): A(x) = alpha times the L1 reconstruction error plus
(1 - alpha) times the L1 distance of the discriminator's features of (x, E(x)) and (G(E(x)), E(x))
(section 2, equation 1, feature matching).

ALAD, adversarially learned anomaly detection (Zenati et al., ICDM 2018): two more discriminators,
of (x, x) against (x, G(E(x))) and of (z, z) against (z, E(G(z))), make encoder and generator
inverse to each other; spectral norms keep the discriminators smooth. The score is the L1 distance
of the features that the discriminator of reconstructions has of (x, x) and (x, G(E(x)))
(algorithm 1).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from dagmm_model.detectors.baselines.adversarial import gan
from dagmm_model.detectors.baselines.deep.trained import Descent, Losses
from dagmm_model.training.blocks import Critic, JointCritic, discrimination, real


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


@dataclass(frozen=True)
class AladSettings(gan.GanSettings):
    """Settings of ALAD.

    Attributes:
        branch_width: units of the layer that each of x and z has of its own in the discriminator.
        joint_widths: units of the joint discriminator's hidden layers.
        critic_widths: units of the hidden layers of the discriminator of reconstructions.
        latent_critic_widths: units of the hidden layers of the discriminator of latent ones.
    """

    branch_width: int = 128
    joint_widths: tuple[int, ...] = (128,)
    critic_widths: tuple[int, ...] = (128,)
    latent_critic_widths: tuple[int, ...] = (32,)
    spectral_norm: bool = True


class Alad(gan.GanDetector[AladSettings]):
    """ALAD with its feature-based score."""

    name = "alad"
    settings_type = AladSettings
    optimised = gan.GanDetector.optimised | {"critics": ("xz", "xx", "zz")}

    def _networks(self, width: int) -> nn.Module:
        s = self.settings_
        latent, options = gan.resolved_latent_width(s), gan.critic_options(s)
        return nn.ModuleDict(
            {
                "generator": gan.generator(s, width),
                "encoder": gan.encoder(s, width),
                "xz": JointCritic(width, latent, s.branch_width, s.joint_widths, **options),
                "xx": Critic((2 * width, *s.critic_widths), **options),
                "zz": Critic((2 * latent, *s.latent_critic_widths), **options),
            }
        )

    def _step(self, networks: nn.ModuleDict, rows: Tensor, epoch: int, down: Descent) -> Losses:
        decode, encode = networks["generator"], networks["encoder"]
        xz, xx, zz = networks["xz"], networks["xx"], networks["zz"]
        z = gan.latent_rows(self.settings_, rows)
        made, codes = decode(z), encode(rows)
        row_cycle, latent_cycle = _pair(rows, decode(codes)), _pair(z, encode(made))
        joint = discrimination(xz, (rows, codes.detach()), (made.detach(), z))
        of_rows = discrimination(xx, (_pair(rows, rows),), (row_cycle.detach(),))
        of_latent = discrimination(zz, (_pair(z, z),), (latent_cycle.detach(),))
        down("critics", joint + of_rows + of_latent)
        adversarial = discrimination(xz, (made, z), (rows, codes))
        cycle = real(xx(row_cycle)[0]) + real(zz(latent_cycle)[0])
        down("makers", adversarial + cycle)
        return {
            "discriminators": joint + of_rows + of_latent,
            "adversarial": adversarial,
            "cycle": cycle,
            "discriminator_xz": joint,
            "discriminator_xx": of_rows,
            "discriminator_zz": of_latent,
        }

    def _score_rows(self, networks: nn.ModuleDict, x: Tensor) -> Tensor:
        again = networks["generator"](networks["encoder"](x))
        critic = networks["xx"]
        return gan.absolute(critic(_pair(x, x))[1] - critic(_pair(x, again))[1])


def _pair(left: Tensor, right: Tensor) -> Tensor:
    return torch.cat([left, right], dim=1)
