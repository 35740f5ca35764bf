"""GANomaly (Akcay, Atapour-Abarghouei and Breckon, ACCV 2018), its convolutions made dense.

An autoencoder and a second encoder on its output; a discriminator holds the outputs to the rows.
The score is the L1 distance of the two codes (equation 5), so that a row is anomalous whose code
does not survive the way through the decoder.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from dagmm_model.detectors.baselines.adversarial import gan
from dagmm_model.detectors.baselines.deep.trained import Descent, Losses
from dagmm_model.training.blocks import Critic, discrimination


@dataclass(frozen=True)
class GanomalySettings(gan.GanSettings):
    """Settings of GANomaly.

    Attributes:
        latent: wide, since a code that is no wider than the normal rows need can be had again from
            any row, and the score sees nothing.
        lambda_adversarial: weight of the feature-matching loss (1 in the paper).
        lambda_context: weight of the L1 reconstruction error, a mean over the columns (50).
        lambda_encoder: weight of the codes' squared distance, a mean over the coordinates (1).
    """

    latent: int | None = 32
    lambda_adversarial: float = 1.0
    lambda_context: float = 50.0
    lambda_encoder: float = 1.0


class Ganomaly(gan.GanDetector[GanomalySettings]):
    """GANomaly for tables."""

    name = "ganomaly"
    settings_type = GanomalySettings
    optimised = gan.GanDetector.optimised | {"makers": ("encoder", "generator", "second")}

    def _networks(self, width: int) -> nn.Module:
        settings = self.settings_
        return nn.ModuleDict(
            {
                "encoder": gan.encoder(settings, width),
                "generator": gan.generator(settings, width),
                "second": gan.encoder(settings, width),
                "critic": Critic((width, *settings.critic_widths), **gan.critic_options(settings)),
            }
        )

    def _step(self, networks: nn.ModuleDict, rows: Tensor, epoch: int, down: Descent) -> Losses:
        s, critic = self.settings_, networks["critic"]
        codes = networks["encoder"](rows)
        again = networks["generator"](codes)
        discriminator = discrimination(critic, (rows,), (again.detach(),))
        down("critics", discriminator)
        matching = (critic(rows)[1].detach() - critic(again)[1]).square().mean()
        context = (rows - again).abs().mean()
        coding = (codes - networks["second"](again)).square().mean()
        total = s.lambda_adversarial * matching + s.lambda_context * context
        down("makers", total + s.lambda_encoder * coding)
        return {
            "context": context,
            "encoder": coding,
            "matching": matching,
            "discriminator": discriminator,
        }

    def _score_rows(self, networks: nn.ModuleDict, x: Tensor) -> Tensor:
        codes = networks["encoder"](x)
        return gan.absolute(codes - networks["second"](networks["generator"](codes)))
