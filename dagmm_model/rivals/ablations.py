"""The systems of the DAGMM paper that share its parts (Zong et al., ICLR 2018, section 4.2).

Each is DAGMM with some settings fixed: what it leaves out, or learns in separate steps. All else,
widths and epochs too, is DAGMM's own, preset by preset. What the paper leaves open - how long to
pre-train - is `layer_epochs` and `autoencoder_epochs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from dagmm_model.estimator import DAGMM

AUTOENCODER: Mapping[str, Any] = {
    "lambda_energy": 0.0,
    "lambda_penalty": 0.0,
    "refinement": 0,
    "criterion": "reconstruction",
}


class GmmEn(DAGMM):
    """GMM-EN: no reconstruction error in the objective; the energy is the score."""

    name = "gmm-en"
    fixed: ClassVar[Mapping[str, Any]] = {"lambda_reconstruction": 0.0}


class EndToEndAutoencoder(DAGMM):
    """E2E-AE: a deep autoencoder, trained end to end; the reconstruction error is the score."""

    name = "e2e-ae"
    fixed: ClassVar[Mapping[str, Any]] = {**AUTOENCODER, "layer_epochs": 0}


class PretrainedAutoencoder(DAGMM):
    """PAE: a deep autoencoder, layers trained by themselves first; scored as E2E-AE."""

    name = "pae"
    fixed = AUTOENCODER

    def variant(self) -> Mapping[str, Any]:
        """Layers are trained first."""
        return _layers(self.preset)


class PretrainedGmmEm(DAGMM):
    """PAE-GMM-EM: the autoencoder of PAE, then a mixture of its latent rows by EM."""

    name = "pae-gmm-em"
    fixed: ClassVar[Mapping[str, Any]] = {
        **AUTOENCODER,
        "criterion": "energy",
        "final_mixture": "em",
    }

    def variant(self) -> Mapping[str, Any]:
        """Layers are trained first."""
        return _layers(self.preset)


class PretrainedGmm(DAGMM):
    """PAE-GMM: the autoencoder of PAE, frozen; then the estimation network by itself."""

    name = "pae-gmm"
    fixed: ClassVar[Mapping[str, Any]] = {"freeze_compression": True}

    def variant(self) -> Mapping[str, Any]:
        """Layers, then the autoencoder are trained first."""
        return _layers(self.preset) | {"autoencoder_epochs": 200}


class PretrainedDagmm(DAGMM):
    """DAGMM-p: the autoencoder of PAE, then everything fine-tuned end to end."""

    name = "dagmm-p"

    def variant(self) -> Mapping[str, Any]:
        """Layers, then the autoencoder are trained first."""
        return _layers(self.preset) | {"autoencoder_epochs": 200}


class VariationalDagmm(DAGMM):
    """DAGMM-NVI: the energy replaced by the bound of neural variational inference.

    The estimation network is the approximate posterior; the objective has the expected complete
    log-likelihood and its entropy (the paper's equation 10; Mnih and Gregor, ICML 2014).
    """

    name = "dagmm-nvi"
    fixed: ClassVar[Mapping[str, Any]] = {"mixture_term": "variational"}


def _layers(preset: str) -> dict[str, Any]:
    """How layers are trained by themselves; there is no fixed linear path beside them."""
    return {"layer_epochs": 50, "linear_path": "none"}
