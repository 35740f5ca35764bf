"""What a step owes to the latent rows: estimation network, mixture, energy and penalty, and back.

The half of a step that knows no columns. `CompressionShard` and `ReconstructionFeatures` fill `z`;
`LatentTerm.losses` leaves `d_z` for their backward pass.
"""

from collections.abc import Sequence

import numpy as np

from dagmm_model.base.arrays import Array, Float
from dagmm_model.base.distributed import Ranks
from dagmm_model.engines.interface import raised_jitter
from dagmm_model.engines.numpy.dense import DenseStack
from dagmm_model.engines.numpy.mixture import MixtureTerm
from dagmm_model.kernels import arithmetic as kernels
from dagmm_model.kernels import step as kernels_step
from dagmm_model.mixture.mixture import LATENT_VARIANCE_FLOOR
from dagmm_model.networks.network import latent_width
from dagmm_model.networks.settings import DagmmSettings


class LatentTerm:
    """Energy and penalty of a batch's latent rows, with their gradients.

    Args:
        estimation: the estimation network, which keeps its gradients.
        members: *S*.
        rows: *b*, of a batch.
        settings: of the run.
        dtype: of the network; the mixture is float64.
        ranks: that share every batch.

    Attributes:
        z: ``(S, L, b)`` latent rows, to be filled before `losses`.
    """

    def __init__(
        self,
        estimation: DenseStack,
        members: int,
        rows: int,
        settings: DagmmSettings,
        dtype: type[np.floating],
        ranks: Ranks,
    ) -> None:
        self._settings, self._sum, self._estimation = settings, ranks.sum, estimation
        width = latent_width(settings)
        self.z = np.empty((members, width, rows))
        self._input = np.ones((members, width + 1, rows), dtype)
        self._d_input = np.empty((members, width, rows), dtype)
        self._logits = np.empty((members, settings.n_components, rows), dtype)
        self._gamma = np.empty(self._logits.shape)
        self._mixture = MixtureTerm(members, settings.n_components, width, rows, ranks.sum)

    @property
    def d_z(self) -> Float:
        """``(S, L, b)`` gradients by `z`; zeros where there is no mixture."""
        return self._mixture.d_z

    def mixture(self) -> tuple[Float, Float]:
        """Shares ``(S, K)`` and covariances ``(S, K, L, L)`` of the last batch, copied."""
        return self._mixture.phi.copy(), self._mixture.covariance.copy()

    def losses(
        self, share: Float, masks: Sequence[Array] | None, jitter: Float
    ) -> tuple[Float, Float]:
        """Energy and penalty ``(S,)`` of `z`; leaves every gradient in its buffer.

        Args:
            share: ``(S, b)`` what each row weighs.
            masks: of the estimation network's dropout.
            jitter: ``(S,)``, raised in place until the covariances are positive definite.
        """
        settings = self._settings
        share = share[:, None]
        z = self.z
        if settings.latent_scaling == "standardised":
            z = z - self._sum(np.matmul(z, share.swapaxes(1, 2)))
            variance = self._sum(np.matmul(z**2, share.swapaxes(1, 2)))
            scale = np.sqrt(variance + LATENT_VARIANCE_FLOOR)
            z /= scale
        self._input[:, :-1] = z
        self._estimation.forward(self._input, self._logits, masks)
        gamma = self._gamma
        kernels.softmax(self._logits, gamma)
        energy, penalty = self._energy(z, gamma, share, jitter)
        self._mixture.backward(settings.lambda_energy, settings.lambda_penalty)
        # softmax, estimation network
        kernels_step.through_softmax(self._mixture.d_gamma, gamma, self._logits)
        self._estimation.backward(self._logits, self._d_input)
        d_z = self._mixture.d_z
        d_z += self._d_input
        if settings.latent_scaling == "standardised":
            push, pull = self._sum(
                np.stack([d_z.sum(axis=2, keepdims=True), (d_z * z).sum(axis=2, keepdims=True)])
            )
            d_z -= share * (push + z * pull)
            d_z /= scale
        return energy, penalty

    def _energy(self, z: Float, gamma: Float, share: Float, jitter: Float) -> tuple[Float, Float]:
        """Energy and penalty; jitter is raised until the covariances are positive definite."""
        while True:
            try:
                return self._mixture.forward(
                    z,
                    gamma,
                    share,
                    jitter,
                    variational=self._settings.mixture_term == "variational",
                    centred=self._settings.latent_scaling == "standardised",
                )
            except np.linalg.LinAlgError:
                covariance = self._mixture.covariance
                raised = None
                if np.isfinite(covariance).all():
                    raised = raised_jitter(jitter, self._mixture.singular)
                if raised is None:
                    nothing = np.full(len(z), np.nan)
                    return nothing, nothing  # reported as divergence by the caller
                jitter[:] = raised
