"""Energy and penalty of a batch in few operations, with their gradients by hand, float64.

On a GPU each operation is a launch, whatever its size; autograd through Cholesky factors written
out for every entry was two thirds of a step's. The equations are those of
`dagmm_model.engines.numpy.mixture`, in homogeneous coordinates: with o = (z, 1) for a row,
H = (I, -mu) has H o = z - mu, so that

    T_k = sum_n g_nk o o'          phi, mu and sigma of every component
    q_nk = o' H' P H o             squared distances, P the inverse of the covariance
    U_k = sum_n w_nk o o'          H U H' and H U's last column are sums over w (z - mu)

No library routine for matrices: theirs may wait for the device, which a CUDA graph cannot hold.

Ranks that share the batch sum the centre, T and U; each then has what its rows owe to the whole
batch's energy and penalty, and these parts add up.
"""

import math
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from dagmm_model.base.distributed import ALONE, Ranks
from dagmm_model.mixture.equations import BatchMixture
from dagmm_model.mixture.mixture import LOG_2PI, SMALLEST, VARIANCE_FLOOR, WEIGHT_FLOOR


def batch_terms(
    z: Tensor,
    gamma: Tensor,
    share: Tensor,
    jitter: Tensor,
    variational: bool,
    ranks: Ranks = ALONE,
) -> tuple[Tensor, Tensor, BatchMixture]:
    """Mean energy ``(S,)`` (or its bound), penalty ``(S,)`` and mixture of a batch.

    Equals `dagmm_model.mixture.equations.mixture_term`; energy and penalty are this rank's share.
    A covariance that is not positive definite has an energy that is not finite.

    Args:
        z: ``(S, n, L)`` latent rows.
        gamma: ``(S, n, K)`` memberships.
        share: ``(S, n)`` shares of the rows in the weight of the batch.
        jitter: ``(S, 1)`` relative jitter.
        variational: the variational bound in place of the energy.
        ranks: that share the batch.
    """
    results = _MixtureTerm.apply(z, gamma, share, jitter, variational, ranks)  # type: ignore[no-untyped-call]
    energy, penalty, *mixture = cast("tuple[Tensor, ...]", results)
    return energy, penalty, BatchMixture(*mixture)


def inverse(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Inverses of positive definite ``(..., L, L)``, and log-determinants ``(...)``.

    Gauss-Jordan elimination in place: four operations a column, whatever the number of matrices.
    Scaled to a diagonal of ones first: pivots are then 1 at most, and nothing cancels.
    """
    width = matrices.shape[-1]
    unit = torch.eye(width, dtype=matrices.dtype, device=matrices.device)
    variances = torch.diagonal(matrices, dim1=-2, dim2=-1)
    scale = torch.rsqrt(variances)
    scales = scale[..., :, None] * scale[..., None, :]
    work, pivots = matrices * scales, []
    for i in range(width):
        pivots.append(work[..., i, i])
        column = work[..., :, i] - unit[i]
        row = (work[..., i, :] + unit[i]) / pivots[-1][..., None]
        work = torch.addcmul(work, column[..., :, None], row[..., None, :], value=-1.0)
    return work * scales, torch.log(torch.stack(pivots, -1) * variances).sum(-1)


def squares(flat: Tensor) -> Tensor:
    """Matrices ``(S, m, L + 1, L + 1)`` of their entries ``(S, m, (L + 1)^2)``."""
    width = math.isqrt(flat.shape[2])
    return flat.reshape(*flat.shape[:2], width, width)


class _MixtureTerm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        gamma: Tensor,
        share: Tensor,
        jitter: Tensor,
        variational: bool,
        ranks: Ranks,
    ) -> tuple[Tensor, ...]:
        width = z.shape[-1]
        # Centred, so that little cancels in sigma; the objective does not depend on it.
        (centre,) = ranks.total(share[:, None] @ z)
        one = pad(z - centre, (0, 1), value=1.0)
        products = (one[..., :, None] * one[..., None, :]).flatten(2)
        g = gamma * share[..., None]
        moments = squares(*ranks.total(g.transpose(1, 2) @ products))
        phi = moments[..., -1, -1]
        safe = torch.clip(phi, WEIGHT_FLOOR, None)
        mean = moments / safe[..., None, None]
        mu = mean[..., :-1, -1]
        sigma = torch.addcmul(mean[..., :-1, :-1], mu[..., :, None], mu[..., None, :], value=-1.0)
        spread = torch.diagonal(moments, dim1=-2, dim2=-1)[..., :-1].sum(1)
        covariance = sigma.clone()
        diagonal = torch.diagonal(covariance, dim1=-2, dim2=-1)
        diagonal += (jitter * torch.clip(spread, VARIANCE_FLOOR, None))[:, None]
        precision, log_det = inverse(covariance)
        unit = torch.eye(width, dtype=z.dtype, device=z.device)
        h = torch.cat([unit.expand_as(sigma), -mu[..., None]], -1)
        form = (h.transpose(2, 3) @ (precision @ h)).flatten(2)
        log_phi = torch.log(torch.clip(phi, SMALLEST, None))
        constant = log_phi - 0.5 * log_det - 0.5 * width * LOG_2PI
        log_joint = constant[:, None] - 0.5 * (products @ form.transpose(1, 2))
        if variational:
            excess = torch.log(torch.clip(gamma, SMALLEST, None)) - log_joint
            weight, of_rows = gamma, (gamma * excess).sum(-1)
        else:
            excess = z.new_empty(0)
            top = log_joint.amax(-1, keepdim=True)
            likelihood = torch.exp(log_joint - top)
            total = likelihood.sum(-1, keepdim=True)
            weight, of_rows = likelihood / total, -(torch.log(total) + top)[..., 0]
        ctx.variational, ctx.ranks = variational, ranks
        ctx.save_for_backward(
            one, products, g, share, jitter, weight, excess,
            safe, mu, sigma, spread, diagonal, precision, h, form,
        )  # fmt: skip
        mixture = (phi, mu + centre, covariance)
        ctx.mark_non_differentiable(*mixture)
        # The penalty is no sum over rows: every rank has all of it, and answers for its part.
        return (share * of_rows).sum(1), (1.0 / diagonal).sum((1, 2)) / ranks.size, *mixture

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (
            one, products, g, share, jitter, weight, excess,
            safe, mu, sigma, spread, diagonal, precision, h, form,
        ) = ctx.saved_tensors  # fmt: skip
        by_energy, by_penalty = (share * grads[0][:, None])[..., None], grads[1]
        w = weight * by_energy
        sums = squares(*ctx.ranks.total(w.transpose(1, 2) @ products))
        count, towards = sums[..., -1, -1], h @ sums
        d_mu = -(precision @ towards[..., -1:])
        inner = precision @ (towards @ h.transpose(2, 3)) @ precision
        d_sigma = 0.5 * (count[..., None, None] * precision - inner)
        by_variance = torch.diagonal(d_sigma, dim1=-2, dim2=-1)
        by_variance -= by_penalty[:, None, None] / diagonal**2
        # By the moments, as a form in (z, 1): sigma = T / phi - mu mu', mu = T / phi.
        by_moments = h.transpose(2, 3) @ (d_sigma @ h)
        border = 0.5 * d_mu
        by_moments[..., :-1, -1:].add_(border)
        by_moments[..., -1:, :-1].add_(border.transpose(2, 3))
        corner = count + (mu * d_mu[..., 0]).sum(-1) + (d_sigma * sigma).sum((-2, -1))
        by_moments[..., -1, -1].sub_(corner)
        by_moments = (by_moments / safe[..., None, None]).flatten(2)
        d_gamma = (products @ by_moments.transpose(1, 2)) * share[..., None]
        if ctx.variational:
            d_gamma = d_gamma + by_energy * (excess + 1.0)
        # By z: through the distances, the moments and the jitter.
        through = by_variance.sum(1) * (spread > VARIANCE_FLOOR)
        by_spread = torch.diag_embed(pad(jitter * through, (0, 1))).flatten(1)
        forms = torch.cat([0.5 * form, by_moments, by_spread[:, None]], 1)
        weights = torch.cat([w, g, share[..., None]], 2)
        pull = squares(weights @ forms)[..., :-1, :]
        d_z = 2.0 * (pull * one[..., None, :]).sum(-1)
        return d_z, d_gamma, None, None, None, None
