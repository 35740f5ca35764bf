"""Deep clustering network (Yang, Fu, Sidiropoulos and Hong, ICML 2017), as a detector.

An autoencoder is pre-trained; then its reconstruction and the k-means objective of its codes are
trained together, the assignments and the centres being updated between the steps. A row's score is
the squared distance of its code to the nearest centre, as the DAGMM paper uses it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn

from dagmm_model.detectors.baselines.clusters import enough
from dagmm_model.detectors.baselines.deep.trained import Descent, Losses, TrainedDetector
from dagmm_model.training.autograd import seed_of
from dagmm_model.training.baseline_settings import TrainingSettings
from dagmm_model.training.blocks import mlp

FIRST_COUNT = 100
"""Rows that a centre of the first k-means counts as in the running means that follow."""


@dataclass(frozen=True)
class DcnSettings(TrainingSettings):
    """Settings of DCN.

    Attributes:
        encoder_widths: units of the encoder's layers, the last is the code; mirrored to decode.
        clusters: number of centres.
        pretraining: epochs of the autoencoder alone, before the ``epochs`` of both; as many as
            those where None.
        lambda_clustering: weight of the k-means term.
    """

    encoder_widths: tuple[int, ...] = (60, 30, 10)
    clusters: int = 4
    pretraining: int | None = None
    lambda_clustering: float = 0.5

    least: ClassVar[dict[str, float]] = {"epochs": 0, "pretraining": 0}


class Clustering(nn.Module):
    """Autoencoder and centres ``(K, L)``, which are moved by running means, not by gradients."""

    centres: Tensor
    counts: Tensor

    def __init__(self, widths: Sequence[int], clusters: int) -> None:
        super().__init__()
        self.encoder = mlp(widths, "tanh")
        self.decoder = mlp(widths[::-1], "tanh")
        self.register_buffer("centres", torch.zeros(clusters, widths[-1]))
        self.register_buffer("counts", torch.zeros(clusters))

    def distances(self, codes: Tensor) -> Tensor:
        """Squared distance of each code to each centre, ``(b, K)``."""
        return (codes[:, None] - self.centres).square().sum(2)

    def start(self, codes: Tensor, seed: int) -> None:
        """Centres from k-means of the codes of all rows."""
        kmeans = KMeans(len(self.centres), n_init=10, random_state=seed % 2**32)
        kmeans.fit(codes.double().cpu().numpy())
        self.centres.copy_(torch.as_tensor(kmeans.cluster_centers_))
        self.counts.fill_(FIRST_COUNT)

    def follow(self, codes: Tensor) -> None:
        """Running means of the codes nearest to each centre (section 4.3)."""
        member = nn.functional.one_hot(self.distances(codes).argmin(1), len(self.centres))
        member = member.to(codes.dtype)
        arrived = member.sum(0)
        self.counts += arrived
        shift = member.T @ codes - arrived[:, None] * self.centres
        self.centres += shift / self.counts[:, None]


class DeepClustering(TrainedDetector[DcnSettings]):
    """DCN; the score is the squared distance to the nearest centre in latent space."""

    name = "dcn"
    settings_type = DcnSettings
    optimised: ClassVar[dict[str, tuple[str, ...]]] = {"adam": ("encoder", "decoder")}

    def _networks(self, width: int) -> nn.Module:
        return Clustering((width, *self.settings_.encoder_widths), self.settings_.clusters)

    def settings_for(self, n_rows: int, n_columns: int) -> DcnSettings:
        settings = super().settings_for(n_rows, n_columns)
        first = settings.epochs if settings.pretraining is None else settings.pretraining
        return replace(settings, pretraining=first)

    def _epochs(self) -> int:
        return (self.settings_.pretraining or 0) + (self.settings_.epochs or 0)

    def check_size(self, n_rows: int, n_columns: int) -> None:
        enough(n_rows, self.settings_.clusters, "clusters")

    def _begin_epoch(self, networks: Clustering, epoch: int, x: Tensor) -> None:
        if epoch == self.settings_.pretraining:
            with torch.no_grad():
                networks.start(networks.encoder(x), seed_of(self.seed, 3))

    def _step(self, networks: Clustering, rows: Tensor, epoch: int, down: Descent) -> Losses:
        codes = networks.encoder(rows)
        reconstruction = (networks.decoder(codes) - rows).square().sum(1).mean()
        if epoch < (self.settings_.pretraining or 0):
            down("adam", reconstruction)
            return {"reconstruction": reconstruction}
        clustering = networks.distances(codes).amin(1).mean()
        total = reconstruction + 0.5 * self.settings_.lambda_clustering * clustering
        down("adam", total)
        with torch.no_grad():
            networks.follow(networks.encoder(rows))
        return {"total": total, "reconstruction": reconstruction, "clustering": clustering}

    def _score_rows(self, networks: Clustering, x: Tensor) -> Tensor:
        return networks.distances(networks.encoder(x)).amin(1)
