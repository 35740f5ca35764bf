"""AnoGAN (Schlegl et al., IPMI 2017) and f-AnoGAN (Schlegl et al., Medical Image Analysis 2019).

A GAN learns the normal rows. AnoGAN searches, for each row it scores, the latent point whose
generated row is nearest. f-AnoGAN learns them by a Wasserstein GAN, and then an encoder with
generator and critic fixed (izi_f: row, latent point, row, with the critic's features as a guide),
which takes the place of the search: one pass a row.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dagmm_model.base.arrays import Float
from dagmm_model.detectors.baselines.adversarial import gan
from dagmm_model.detectors.baselines.deep.trained import Descent, Losses
from dagmm_model.tables.protocols import duplicate_groups
from dagmm_model.training.blocks import Critic, discrimination, real


@dataclass(frozen=True)
class AnoganSettings(gan.GanSettings):
    """Settings of AnoGAN.

    Attributes:
        weight: of the feature distance in the score.
        steps: of Adam in the latent search of every scored row.
        step_size: of these steps.
        starts: generated rows, the nearest of which a row's search starts from.
    """

    weight: float = 0.1
    steps: int = 100
    step_size: float = 0.05
    starts: int = 256
    critic_widths: tuple[int, ...] = (256, 128, 128)

    least: ClassVar[dict[str, float]] = gan.GanSettings.least | {"steps": 0}
    most: ClassVar[dict[str, float]] = gan.GanSettings.most | {"weight": 1.0}


class Anogan(gan.GanDetector[AnoganSettings]):
    """AnoGAN; rows that occur several times are searched for once."""

    name = "anogan"
    settings_type = AnoganSettings
    optimised = gan.GanDetector.optimised | {"makers": ("generator",)}

    def energy(self, X: ArrayLike) -> Float:
        rows = np.asarray(X)
        if rows.ndim != 2 or rows.dtype.kind != "f" or not np.isfinite(rows).all():
            return super().energy(X)
        _, first, group = np.unique(duplicate_groups(rows), return_index=True, return_inverse=True)
        return super().energy(rows[first])[group]

    def _networks(self, width: int) -> nn.Module:
        settings = self.settings_
        critic = Critic((width, *settings.critic_widths), **gan.critic_options(settings))
        networks = nn.ModuleDict({"generator": gan.generator(settings, width), "critic": critic})
        networks.register_buffer(
            "starts", torch.randn(settings.starts, gan.resolved_latent_width(settings))
        )
        return networks

    def _step(self, networks: nn.ModuleDict, rows: Tensor, epoch: int, down: Descent) -> Losses:
        critic = networks["critic"]
        made = networks["generator"](gan.latent_rows(self.settings_, rows))
        discriminator = discrimination(critic, (rows,), (made.detach(),))
        down("critics", discriminator)
        generating = real(critic(made)[0])
        down("makers", generating)
        return {"discriminator": discriminator, "generator": generating}

    def _score_rows(self, networks: nn.ModuleDict, x: Tensor) -> Tensor:
        """The score at the best latent point that the search came by."""
        starts = networks.get_buffer("starts")
        z = starts[torch.cdist(x, networks["generator"](starts)).argmin(1)]
        z = z.clone().requires_grad_()
        optimiser = torch.optim.Adam([z], lr=self.settings_.step_size, fused=True)
        features, best = networks["critic"](x)[1], None
        for _ in range(self.settings_.steps + 1):
            scores = self._distance(networks, x, features, networks["generator"](z))
            best = scores.detach() if best is None else torch.minimum(best, scores.detach())
            (z.grad,) = torch.autograd.grad(scores.sum(), z)
            optimiser.step()
        assert best is not None
        return best

    def _distance(
        self, networks: nn.ModuleDict, x: Tensor, features: Tensor, made: Tensor
    ) -> Tensor:
        """A(x) of a row and a generated one, ``(b,)`` (2017: section 2.3, equations 2 to 5)."""
        weight = self.settings_.weight
        matching = gan.absolute(features - networks["critic"](made)[1])
        return (1.0 - weight) * gan.absolute(x - made) + weight * matching


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
