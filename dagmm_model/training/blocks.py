"""Building blocks of the baselines' networks, and the two things every step does with them."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import cached

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}
SLOPE = 0.2
"""Of the leaky rectifier below 0, where nothing else is named."""


def dense(fan_in: int, fan_out: int, *, spectral: bool = False, bias: bool = True) -> nn.Module:
    """A linear layer with Glorot's uniform weights and biases of 0, or none."""
    layer = nn.Linear(fan_in, fan_out, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return spectral_norm(layer) if spectral else layer


def mlp(
    widths: Sequence[int],
    activation: str = "leaky",
    *,
    hidden_only: bool = False,
    dropout: float = 0.0,
    spectral: bool = False,
    bias: bool = True,
) -> nn.Sequential:
    """Linear layers of these widths, the first being the input's.

    The activation, leaky, relu or tanh, and then dropout of that rate, follow every layer but the
    last, and with ``hidden_only`` the last one, too. ``spectral`` divides each weight matrix by its
    largest singular value.
    """
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
        layers.append(dense(fan_in, fan_out, spectral=spectral, bias=bias))
        if hidden_only or i < len(widths) - 2:
            kind = ACTIVATIONS.get(activation)
            layers.append(nn.LeakyReLU(SLOPE) if kind is None else kind())
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


class Critic(nn.Module):
    """A discriminator: the logit of *real*, and its last hidden layer, whose features scores use.

    Shape: input ``(b, widths[0])``; logits ``(b,)``, features ``(b, widths[-1])``.
    """

    def __init__(
        self, widths: Sequence[int], *, dropout: float = 0.0, spectral: bool = False
    ) -> None:
        super().__init__()
        self.body = mlp(widths, hidden_only=True, dropout=dropout, spectral=spectral)
        self.head = dense(widths[-1], 1, spectral=spectral)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features."""
        features = self.body(x)
        return self.head(features).squeeze(1), features


class JointCritic(nn.Module):
    """A discriminator of pairs (x, z): a layer for each, then a critic of both.

    Options are those of `Critic`. Shape: x ``(b, x_width)``, z ``(b, z_width)``; logits ``(b,)``,
    features ``(b, joint[-1])``.
    """

    def __init__(
        self, x_width: int, z_width: int, branch: int, joint: Sequence[int], **options: Any
    ) -> None:
        super().__init__()
        self.of_x = mlp((x_width, branch), hidden_only=True, **options)
        self.of_z = mlp((z_width, branch), hidden_only=True, **options)
        self.critic = Critic((2 * branch, *joint), **options)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features."""
        logits, features = self.critic(torch.cat([self.of_x(x), self.of_z(z)], dim=1))
        return logits, features


def real(logits: Tensor) -> Tensor:
    """Mean cross-entropy of logits whose label is *real*."""
    return softplus(-logits).mean()


def discrimination(critic: nn.Module, genuine: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """Loss of a critic that is to call the first inputs *real* and the second ones *fake*.

    One pass for both, half the work for small batches; spectral norms are worked out once.
    """
    with cached():
        logits, _ = critic(*(torch.cat(pair) for pair in zip(genuine, made, strict=True)))
    genuine_logits, made_logits = logits.split([len(genuine[0]), len(made[0])])
    return real(genuine_logits) + softplus(made_logits).mean()


def adam_of(
    modules: Iterable[nn.Module], learning_rate: float, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Adam:
    """Adam over the modules' parameters."""
    parameters = [p for module in modules for p in module.parameters()]
    return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, fused=True)


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """A step of the optimiser's own parameters down the loss; others get no gradient."""
    parameters = optimiser.param_groups[0]["params"]
    for parameter, grad in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = grad
    optimiser.step()
