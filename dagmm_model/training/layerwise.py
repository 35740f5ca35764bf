"""Layer-wise pre-training of an autoencoder (Bengio et al. 2007; Vincent et al. 2010).

The i-th layer of the encoder and the decoder's layer that mirrors it form an autoencoder of one
hidden layer, which learns to reconstruct the activations that the layers before it give. Hidden
layers keep the tanh that they have in the whole network; code and reconstruction are linear.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dagmm_model.networks.network import Parameters
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.training.autograd import Work, seed_of, train_networks
from dagmm_model.training.baseline_settings import TrainingSettings
from dagmm_model.training.blocks import adam_of, descend
from dagmm_model.training.epochs import Epoch, Execution

KINDS = ("weight", "bias")


class Layer(nn.Module):
    """A layer of the encoder and its mirror image in the decoder.

    Shape: rows ``(b, in)`` to rows ``(b, in)``.
    """

    def __init__(self, member: Parameters, index: int, depth: int) -> None:
        super().__init__()
        self.names = {"encoder": f"encoder.{index}", "decoder": f"decoder.{depth - 1 - index}"}
        self.inner, self.outer = index < depth - 1, index > 0
        for network, name in self.names.items():
            weight, bias = (torch.tensor(member[f"{name}.{kind}"]) for kind in KINDS)
            layer = nn.Linear(weight.shape[1], weight.shape[0])
            layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
            self.add_module(network, layer)

    def encode(self, x: Tensor) -> Tensor:
        """Activations of the hidden layer."""
        hidden = self.get_submodule("encoder")(x)
        return torch.tanh(hidden) if self.inner else hidden

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction."""
        x_hat = self.get_submodule("decoder")(self.encode(x))
        return torch.tanh(x_hat) if self.outer else x_hat


def train_layer(
    rows: NDArray[np.float32],
    settings: DagmmSettings,
    seed: int,
    index: int,
    member: Parameters,
    how: Execution,
) -> tuple[NDArray[np.float32], tuple[Epoch, ...]]:
    """Train one layer of one member; its parameters are replaced in ``member``.

    Args:
        rows: ``(n, in)`` input of the layer.
        settings: widths, epochs, batch size and learning rate.
        seed: of the member.
        index: 0-based layer of the encoder.
        member: parameters of one member, without its axis.
        how: the training is run; the engine and the ranks have no part in it.

    Returns:
        Activations ``(n, out)``, the next layer's input, and the epochs.

    Raises:
        TrainingDiverged: the loss is not finite.
    """
    depth = len(settings.encoder_widths)

    def work() -> Work:
        layer = Layer(member, index, depth)
        optimiser = adam_of([layer], settings.learning_rate)

        def step(x: Tensor, epoch: int) -> dict[str, Tensor]:
            loss = (layer(x) - x).square().sum(1).mean()
            descend(optimiser, loss)
            return {"reconstruction": loss}

        return Work(layer, {"adam": optimiser}, step)

    loop = TrainingSettings(
        epochs=settings.layer_epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        device=how.device,
    )
    arrays, epochs, _ = train_networks(
        work,
        rows,
        loop,
        seed_of(seed, index),
        how,
        name=f"layer {index}",
        epochs=settings.layer_epochs,
    )
    layer = Layer(member, index, depth)
    for network, name in layer.names.items():
        for kind in KINDS:
            member[f"{name}.{kind}"] = arrays[f"{network}.{kind}"].astype(np.float32)
    hidden = rows @ member[f"encoder.{index}.weight"].T + member[f"encoder.{index}.bias"]
    return np.asarray(np.tanh(hidden) if layer.inner else hidden, np.float32), epochs
