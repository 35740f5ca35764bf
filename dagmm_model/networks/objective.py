"""The objective in torch, the readable reference: J(theta) = L + l1 * E + l2 * P (paper 3.4).

Batched over the members' axis S. The mixture part (`dagmm_model.mixture.equations`) is in float64
whatever the type of the network: latent rows and memberships are promoted before any statistic is
taken.

The energy depends on statistics of the whole batch. Where ranks share it, every sum over the batch
is one over all ranks, with gradients (`Ranks.total`), and the losses are each rank's share: they,
and the gradients that the ranks have after the backward pass, add up to those of the batch.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dagmm_model.base.distributed import ALONE, Ranks
from dagmm_model.mixture.equations import BatchMixture, mixture_term
from dagmm_model.mixture.mixture import LATENT_VARIANCE_FLOOR
from dagmm_model.networks.compression import compress, membership, membership_logits
from dagmm_model.networks.settings import DagmmSettings


class Losses(NamedTuple):
    """Terms of the objective for each member, ``(S,)``; total = the weighted sum.

    Energy and penalty are 0 where the objective has no mixture.
    """

    total: Tensor
    reconstruction: Tensor
    energy: Tensor
    penalty: Tensor


Term = Callable[[Tensor, Tensor, Tensor, Any, bool], tuple[Tensor, Tensor, BatchMixture]]
"""From z, gamma, share, jitter, whether the bound takes the energy's place: see `mixture_term`."""


def standardise(z: Tensor, share: Tensor, ranks: Ranks = ALONE) -> Tensor:
    """Every coordinate of z ``(S, n, L)`` to mean 0 and variance 1 over the batch.

    Args:
        z: latent rows.
        share: ``(S, n)`` of each row in the weight of the batch.
        ranks: that share the batch.
    """
    (mean,) = ranks.total((share[..., None] * z).sum(1, keepdim=True))
    centred = z - mean
    (variance,) = ranks.total((share[..., None] * centred**2).sum(1, keepdim=True))
    return centred / torch.sqrt(variance + LATENT_VARIANCE_FLOOR)


def objective(
    parameters: Mapping[str, Tensor],
    x: Tensor,
    weight: Tensor,
    settings: DagmmSettings,
    jitter: float | Tensor,
    masks: list[Tensor] | None = None,
    ranks: Ranks = ALONE,
    visible: Tensor | None = None,
    term: Term | None = None,
) -> tuple[Losses, BatchMixture | None]:
    """The training objective of a batch, for every member (paper, equation 7).

    The reconstruction loss is the squared L2 norm of each row (summed over the columns), averaged
    over the rows; ``reconstruction_reduction="mean"`` divides it by the number of columns. The
    penalty is taken on the jittered diagonal.

    Args:
        parameters: weights, each ``(S, ...)``.
        x: ``(S or 1, n, D)`` scaled rows.
        weight: ``(S, n)`` float64 sample weights.
        settings: of the run.
        jitter: relative jitter of the covariances, ``(S, 1)`` or one for all members.
        masks: dropout factors, see `layers`.
        ranks: that share the batch; the losses are then this one's share.
        visible: ``(S, n, D)`` which columns the encoder sees, see `compress`; None for all.
        term: computes energy and penalty, this rank's share; `mixture_term` unless given.
    """
    z, x_hat = compress(torch, parameters, x, settings.reconstruction_features, visible)
    (total_weight,) = ranks.total(weight.sum(1, keepdim=True))
    share = weight / total_weight
    error = ((x - x_hat) ** 2).sum(-1).double()
    if settings.reconstruction_reduction == "mean":
        error = error / x.shape[-1]
    reconstruction = (share * error).sum(1)
    if not settings.mixes:
        none = torch.zeros_like(reconstruction)
        return Losses(
            settings.lambda_reconstruction * reconstruction, reconstruction, none, none
        ), None
    latent = z.double()
    if settings.latent_scaling == "standardised":
        latent = standardise(latent, share, ranks)
    logits = membership_logits(torch, parameters, latent.to(z.dtype), masks)
    gamma = membership(torch, logits.double())
    variational = settings.mixture_term == "variational"
    compute = mixture_term if term is None else term  # whose truth a compiler could not trace
    energy, penalty, mixture = compute(latent, gamma, share, jitter, variational)
    total = (
        settings.lambda_reconstruction * reconstruction
        + settings.lambda_energy * energy
        + settings.lambda_penalty * penalty
    )
    return Losses(total, reconstruction, energy, penalty), mixture
