"""The systems of the DAGMM paper that share its parts (Zong et al., ICLR 2018, section 4.2).

Each is DAGMM with some settings fixed: what it leaves out, or learns in separate steps. All else
is DAGMM's own, preset by preset. What the paper leaves open - how long to pre-train - is
`layer_epochs` and `autoencoder_epochs`. The presets kddcup, kddcup-rev, thyroid and arrhythmia have
the architecture of the paper, and training settings chosen for the variant: see `catalogue.toml`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from dagmm_model.detectors.catalogue import presets_of
from dagmm_model.detectors.dagmm import DAGMM
from dagmm_model.networks.presets import PRESETS

Changes = Mapping[str, Any]

EDITIONS = ("kddcup", "kddcup-rev", "thyroid", "arrhythmia")

AUTOENCODER: Changes = {
    "lambda_energy": 0.0,
    "lambda_penalty": 0.0,
    "refinement": 0,
    "criterion": "reconstruction",
}
LAYERS: Changes = {"layer_epochs": 50, "linear_path": "none"}
AUTOENCODER_FIRST: Changes = {**LAYERS, "autoencoder_epochs": 200}


class Ablation(DAGMM):
    """DAGMM but for one thing; parameters and attributes are those of `DAGMM`.

    Attributes:
        fixed: settings that make it what it is.
        masked: whether it can hide columns; if not, `recommended` is `recommended-fast`.
        phases: changes in every preset.
    """

    presets = (*PRESETS, *EDITIONS)
    masked: ClassVar[bool] = True
    phases: ClassVar[Changes] = {}

    def variant(self) -> tuple[str, Changes]:
        if self.preset not in EDITIONS:
            unmasked = self.preset == "recommended" and not self.masked
            return "recommended-fast" if unmasked else self.preset, self.phases
        edition = presets_of(self.name).get(self.preset, {})
        return f"paper-{self.preset}", {**self.phases, **edition, "preset": self.preset}


class GmmEn(Ablation):
    """GMM-EN: no reconstruction error in the objective; the energy is the score."""

    name = "gmm-en"
    fixed: ClassVar[Changes] = {"lambda_reconstruction": 0.0}


class EndToEndAutoencoder(Ablation):
    """E2E-AE: a deep autoencoder, trained end to end; the reconstruction error is the score."""

    name = "e2e-ae"
    masked = False
    fixed: ClassVar[Changes] = {**AUTOENCODER, "layer_epochs": 0}


class PretrainedAutoencoder(Ablation):
    """PAE: a deep autoencoder, layers trained by themselves first; scored as E2E-AE."""

    name = "pae"
    masked = False
    fixed = AUTOENCODER
    phases = LAYERS


class PretrainedGmmEm(Ablation):
    """PAE-GMM-EM: the autoencoder of PAE, then a mixture of its latent rows by EM."""

    name = "pae-gmm-em"
    masked = False
    fixed: ClassVar[Changes] = {**AUTOENCODER, "criterion": "energy", "final_mixture": "em"}
    phases = LAYERS


class PretrainedGmm(Ablation):
    """PAE-GMM: the autoencoder of PAE, frozen; then the estimation network by itself."""

    name = "pae-gmm"
    masked = False
    fixed: ClassVar[Changes] = {"freeze_compression": True}
    phases = AUTOENCODER_FIRST


class PretrainedDagmm(Ablation):
    """DAGMM-p: the autoencoder of PAE, then everything fine-tuned end to end."""

    name = "dagmm-p"
    masked = False
    phases = AUTOENCODER_FIRST


class VariationalDagmm(Ablation):
    """DAGMM-NVI: the energy replaced by the bound of neural variational inference.

    The estimation network is the approximate posterior; the objective has the expected complete
    log-likelihood and its entropy (the paper's equation 10; Mnih and Gregor, ICML 2014).
    """

    name = "dagmm-nvi"
    fixed: ClassVar[Changes] = {"mixture_term": "variational"}


class AlternatingDagmm(Ablation):
    """DAGMM with an optimiser for each loss, in turns: what joint training is to be better than."""

    name = "dagmm-alternating"
    fixed: ClassVar[Changes] = {"alternating": True}
