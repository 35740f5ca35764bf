"""DAGMM the way it is usually written in PyTorch, as the yardstick of the benchmarks.

One module, a loop over the components, `torch.inverse` for the quadratic form, a `Dataset` that
returns one row at a time and a `DataLoader` that collates them. Correct, and slow.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


class Rows(Dataset[tuple[np.ndarray, np.float32]]):
    """One row of a table and its label at a time."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x
        self.label = np.zeros(len(x))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.float32]:
        return np.float32(self.x[index]), np.float32(self.label[index])


class TextbookDAGMM(nn.Module):
    """The paper's KDDCUP network."""

    def __init__(self, width: int, components: int = 4) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(width, 60), nn.Tanh(), nn.Linear(60, 30), nn.Tanh(),
            nn.Linear(30, 10), nn.Tanh(), nn.Linear(10, 1),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(1, 10), nn.Tanh(), nn.Linear(10, 30), nn.Tanh(),
            nn.Linear(30, 60), nn.Tanh(), nn.Linear(60, width),
        )  # fmt: skip
        self.estimation = nn.Sequential(
            nn.Linear(3, 10), nn.Tanh(), nn.Dropout(0.5), nn.Linear(10, components), nn.Softmax(1)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        code = self.encoder(x)
        x_hat = self.decoder(code)
        relative = (x - x_hat).norm(2, 1) / x.norm(2, 1)
        cosine = nn.functional.cosine_similarity(x, x_hat, 1)
        z = torch.cat([code, relative[:, None], cosine[:, None]], 1)
        return x_hat, z, self.estimation(z)

    @staticmethod
    def mixture(z: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        sums = gamma.sum(0)
        mu = (gamma[:, :, None] * z[:, None]).sum(0) / sums[:, None]
        sigma = []
        for k in range(gamma.shape[1]):
            centred = z - mu[k]
            sigma.append((gamma[:, k, None] * centred).T @ centred / sums[k])
        return sums / len(z), mu, sigma

    @staticmethod
    def energy(z: Tensor, phi: Tensor, mu: Tensor, sigma: list[Tensor]) -> tuple[Tensor, Tensor]:
        logs, penalty = [], torch.zeros((), device=z.device)
        for k in range(len(phi)):
            covariance = sigma[k] + 1e-6 * torch.eye(z.shape[1], device=z.device)
            inverse = torch.inverse(covariance)
            centred = z - mu[k]
            distance = ((centred @ inverse) * centred).sum(1)
            log_det = torch.logdet(2 * math.pi * covariance)
            logs.append(torch.log(phi[k]) - 0.5 * distance - 0.5 * log_det)
            penalty = penalty + (1 / torch.diag(covariance)).sum()
        return -torch.logsumexp(torch.stack(logs, 1), 1), penalty

    def loss(self, x: Tensor) -> Tensor:
        x_hat, z, gamma = self(x)
        energy, penalty = self.energy(z, *self.mixture(z, gamma))
        reconstruction = ((x - x_hat) ** 2).sum(1).mean()
        return reconstruction + 0.1 * energy.mean() + 0.005 * penalty


class TextbookLoop:
    """Endless training steps over a DataLoader."""

    def __init__(self, x: np.ndarray, batch: int, device: str = "cpu") -> None:
        torch.manual_seed(0)
        self.device = device
        self.model = TextbookDAGMM(x.shape[1]).to(device)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-4)
        self.loader = DataLoader(Rows(x), batch_size=batch, shuffle=True, drop_last=True)
        self._batches = iter(self.loader)

    def step(self) -> float:
        batch = next(self._batches, None)
        if batch is None:
            self._batches = iter(self.loader)
            batch = next(self._batches)
        batch, _ = batch
        self.optimiser.zero_grad()
        loss = self.model.loss(batch.to(self.device))
        loss.backward()
        self.optimiser.step()
        return loss.item()
