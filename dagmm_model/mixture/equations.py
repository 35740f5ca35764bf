"""The mixture's equations as one reads them, in torch, batched over the members' axis S.

What is fast says which of these it equals; `tests/dagmm_model/mixture/test_equations.py` holds all
of them together, and `tests/dagmm_model/engines/test_triton.py` the kernels of a GPU:

    batch_mixture   `dagmm_model.mixture.moments.Moments.mixture`       in any chunks, merged
    sample_energy   `dagmm_model.mixture.mixture.Mixture.energy`        compiled; scoring
    mixture_term    `dagmm_model.engines.numpy.mixture.MixtureTerm`     compiled; training
    mixture_term    `dagmm_model.engines.torch.mixture.batch_terms`     few launches; training
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dagmm_model.mixture.mixture import LOG_2PI, SMALLEST, VARIANCE_FLOOR, WEIGHT_FLOOR


class BatchMixture(NamedTuple):
    """Mixture of one batch: phi ``(S, K)``, mu ``(S, K, L)``, covariance ``(S, K, L, L)``."""

    phi: Tensor
    mu: Tensor
    covariance: Tensor


def batch_mixture(z: Tensor, gamma: Tensor, share: Tensor, jitter: float | Tensor) -> BatchMixture:
    """phi, mu and jittered sigma of a batch (paper, equation 5).

    Args:
        z: ``(S, n, L)`` float64.
        gamma: ``(S, n, K)`` float64 memberships.
        share: ``(S, n)`` float64 shares of the rows in the weight of the batch.
        jitter: relative jitter, ``(S, 1)`` or one for all members: times the variance of each
            coordinate over the batch.
    """
    weighted = gamma * share[..., None]
    phi = weighted.sum(1)
    safe = torch.clip(phi, WEIGHT_FLOOR, None)
    mu = weighted.transpose(1, 2) @ z / safe[..., None]
    centred = z[:, :, None, :] - mu[:, None]
    scatter = torch.einsum("snk,snki,snkj->skij", weighted, centred, centred)
    centre = (share[..., None] * z).sum(1, keepdim=True)
    spread = torch.clip((share[..., None] * (z - centre) ** 2).sum(1), VARIANCE_FLOOR, None)
    covariance = scatter / safe[..., None, None] + torch.diag_embed(jitter * spread)[:, None]
    return BatchMixture(phi, mu, covariance)


def sample_energy(z: Tensor, mixture: BatchMixture) -> Tensor:
    """Sample energy of each row ``(S, n)`` (paper, equation 6), by Cholesky and log-sum-exp."""
    return -torch.logsumexp(log_joint(z, mixture), dim=1)


def variational_bounds(z: Tensor, gamma: Tensor, mixture: BatchMixture) -> Tensor:
    """Upper bound of each row's energy ``(S, n)``, with gamma as approximate posterior.

    Minus the expected complete log-likelihood minus the entropy of gamma (paper, equation 10); the
    energy plus the divergence of gamma from the posterior.
    """
    log_gamma = torch.log(torch.clip(gamma, SMALLEST, None))
    return (gamma * (log_gamma - log_joint(z, mixture).transpose(1, 2))).sum(-1)


def log_joint(z: Tensor, mixture: BatchMixture) -> Tensor:
    """Log of share times density of each component at each row, ``(S, K, n)``."""
    centred = (z[:, None] - mixture.mu[:, :, None]).transpose(-1, -2)
    factor, _ = torch.linalg.cholesky_ex(mixture.covariance)
    white = torch.linalg.solve_triangular(factor, centred, upper=False)
    log_det = torch.log(torch.diagonal(factor, dim1=-2, dim2=-1)).sum(-1)
    log_phi = torch.log(torch.clip(mixture.phi, SMALLEST, None))
    constant = log_phi - log_det - 0.5 * z.shape[-1] * LOG_2PI
    joint: Tensor = constant[..., None] - 0.5 * (white**2).sum(-2)
    return joint


def penalty(mixture: BatchMixture) -> Tensor:
    """Sum of the reciprocal variances ``(S,)``, jitter included (paper, section 3.4)."""
    return (1.0 / torch.diagonal(mixture.covariance, dim1=-2, dim2=-1)).sum((1, 2))


def mixture_term(
    z: Tensor, gamma: Tensor, share: Tensor, jitter: float | Tensor, variational: bool
) -> tuple[Tensor, Tensor, BatchMixture]:
    """Mean energy ``(S,)`` (or its bound), penalty ``(S,)`` and mixture; see `batch_mixture`."""
    mixture = batch_mixture(z, gamma, share, jitter)
    of_rows = variational_bounds(z, gamma, mixture) if variational else sample_energy(z, mixture)
    return (share * of_rows).sum(1), penalty(mixture), mixture
