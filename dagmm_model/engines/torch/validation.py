"""Energies of validation rows where the training rows lie, as `scoring.inference` has them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dagmm_model.mixture.equations import batch_mixture, sample_energy
from dagmm_model.mixture.mixture import CONSTANT_VARIANCE, LATENT_VARIANCE_FLOOR
from dagmm_model.networks.compression import compress, membership, membership_logits
from dagmm_model.networks.settings import DagmmSettings

RECONSTRUCTED_ROWS = 16_384
"""Rows whose reconstructions are held at a time."""


@torch.no_grad()
def mean_energies(
    parameters: Mapping[str, Tensor],
    settings: DagmmSettings,
    criterion: str,
    x: Tensor,
    share: Tensor,
    held: Tensor,
    jitter: Tensor,
) -> Tensor:
    """Mean energy ``(S,)`` of rows under the mixture of the training rows (paper, equation 5).

    Args:
        parameters: float64, each ``(S, ...)``.
        settings: of the training.
        criterion: energy, or reconstruction for the squared error.
        x: ``(n, D)`` training rows.
        share: ``(n,)`` float64 shares of the rows in their weight.
        held: ``(m, D)`` rows.
        jitter: ``(S, 1)`` relative jitter.
    """
    z_held, errors = _latent(parameters, settings, held)
    if criterion == "reconstruction":
        return errors.mean(1)
    z, _ = _latent(parameters, settings, x)
    if settings.latent_scaling == "standardised":
        weight = share[None, :, None]
        mean = (weight * z).sum(1, keepdim=True)
        variance = (weight * (z - mean) ** 2).sum(1, keepdim=True)
        deviation = torch.sqrt(variance + LATENT_VARIANCE_FLOOR)
        scale = torch.where(variance < CONSTANT_VARIANCE, torch.ones_like(variance), deviation)
        z, z_held = (z - mean) / scale, (z_held - mean) / scale
    gamma = membership(torch, membership_logits(torch, parameters, z))
    means = []
    for s in range(len(z)):  # one member's distances at a time
        one = slice(s, s + 1)
        mixture = batch_mixture(z[one], gamma[one], share[None], jitter[one])
        means.append(sample_energy(z_held[one], mixture).mean())
    return torch.stack(means)


def _latent(
    parameters: Mapping[str, Tensor], settings: DagmmSettings, x: Tensor
) -> tuple[Tensor, Tensor]:
    """Latent rows ``(S, n, L)`` and squared errors ``(S, n)`` in float64."""
    latent, errors = [], []
    for part in torch.split(x, RECONSTRUCTED_ROWS):
        rows = part.double()[None]
        z, x_hat = compress(torch, parameters, rows, settings.reconstruction_features)
        latent.append(z)
        errors.append(((x_hat - rows) ** 2).sum(-1))
    return torch.cat(latent, 1), torch.cat(errors, 1)
