"""AnoGAN (Schlegl et al., IPMI 2017) and f-AnoGAN (Schlegl et al., Medical Image Analysis 2019).

A GAN learns the normal rows. AnoGAN searches, for each row it scores, the latent point whose
generated row is nearest; f-AnoGAN trains an encoder for that afterwards (izi_f). Both score
A(x) = (1 - weight) R(x) + weight D(x): the residual between the row and the generated one, and the
distance of the discriminator's features of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
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
