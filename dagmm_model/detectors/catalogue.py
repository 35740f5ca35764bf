"""The catalogue of detectors: each by its name, loaded at its first use."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from dagmm_model.base.settings import unknown
from dagmm_model.detectors.interface import Detector


@dataclass(frozen=True)
class Entry:
    """A detector of the catalogue.

    Attributes:
        home: ``module:Class`` inside this package.
        about: one line.
        source: where it is from.
        limits: what it cannot do, or nothing.
        needs: distributions that scoring needs beside those of `dagmm`, e.g. torch.
    """

    home: str
    about: str
    source: str
    limits: str = ""
    needs: tuple[str, ...] = ()

    def load(self) -> type[Detector]:
        """The class."""
        module, _, name = self.home.partition(":")
        detector: type[Detector] = getattr(import_module(f"dagmm_model.{module}"), name)
        return detector


PAPER = "Zong et al., ICLR 2018, section 4.2"

CATALOGUE: dict[str, Entry] = {
    "dagmm": Entry(
        "detectors.dagmm:DAGMM",
        "Deep autoencoding Gaussian mixture model, trained end to end",
        "Zong et al., ICLR 2018",
    ),
    "gmm-en": Entry(
        "detectors.ablations:GmmEn",
        "DAGMM without the reconstruction error in its objective",
        PAPER,
    ),
    "pae": Entry(
        "detectors.ablations:PretrainedAutoencoder",
        "Deep autoencoder, pre-trained layer by layer; reconstruction error",
        PAPER,
    ),
    "e2e-ae": Entry(
        "detectors.ablations:EndToEndAutoencoder",
        "Deep autoencoder, trained end to end; reconstruction error",
        PAPER,
    ),
    "pae-gmm-em": Entry(
        "detectors.ablations:PretrainedGmmEm",
        "Pre-trained autoencoder, then a mixture of its latent rows by EM",
        PAPER,
    ),
    "pae-gmm": Entry(
        "detectors.ablations:PretrainedGmm",
        "Pre-trained and frozen autoencoder, then the estimation network",
        PAPER,
    ),
    "dagmm-p": Entry(
        "detectors.ablations:PretrainedDagmm",
        "DAGMM, fine-tuned end to end from a pre-trained autoencoder",
        PAPER,
    ),
    "dagmm-nvi": Entry(
        "detectors.ablations:VariationalDagmm",
        "DAGMM with the bound of neural variational inference for its energy",
        PAPER,
    ),
    "dagmm-alternating": Entry(
        "detectors.ablations:AlternatingDagmm",
        "DAGMM whose losses have an optimiser each, in turns, instead of joint training",
        "ablation of Zong et al., ICLR 2018, section 3.4",
    ),
    "pca": Entry(
        "detectors.baselines.simple:PrincipalComponents",
        "Squared reconstruction error of a few principal components",
        "Shyu et al., ICDM Foundations of Data Mining workshop 2003",
    ),
    "mahalanobis": Entry(
        "detectors.baselines.simple:Mahalanobis",
        "Squared Mahalanobis distance from the mean",
        "Mahalanobis, Proc. Nat. Inst. Sci. India 1936",
    ),
    "isolation-forest": Entry(
        "detectors.baselines.forest:IsolationForest",
        "How few random cuts isolate a row",
        "Liu, Ting and Zhou, ICDM 2008",
    ),
    "knn": Entry(
        "detectors.baselines.simple:NearestNeighbours",
        "Mean distance to the nearest training rows",
        "Ramaswamy, Rastogi and Shim, SIGMOD 2000",
        "keeps at most 20,000 training rows",
    ),
    "kernel-pca": Entry(
        "detectors.baselines.subspace:KernelPca",
        "Reconstruction error of principal components by a Gaussian kernel",
        "Hoffmann, Pattern Recognition 2007",
        "at most 10,000 training rows; a random sample of more with limit=5000",
    ),
    "robust-pca": Entry(
        "detectors.baselines.subspace:RobustPca",
        "Distance to the subspace that is left when gross errors in cells are taken off",
        "Candès, Li, Ma and Wright, JACM 2011",
        "finds the subspace from at most 50,000 training rows",
    ),
    "gmm": Entry(
        "detectors.baselines.clusters:Gmm",
        "Negative log-likelihood of a Gaussian mixture fitted by EM",
        "Dempster, Laird and Rubin, JRSS B 1977",
    ),
    "kmeans": Entry(
        "detectors.baselines.clusters:Kmeans",
        "Squared distance to the nearest centre of k-means",
        "Lloyd, IEEE Trans. Information Theory 1982",
    ),
    "lof": Entry(
        "detectors.baselines.lof:LocalOutlierFactor",
        "Density of the neighbours over a row's own",
        "Breunig, Kriegel, Ng and Sander, SIGMOD 2000",
        "keeps at most 20,000 distinct training rows",
    ),
    "ecod": Entry(
        "detectors.baselines.ecod:Ecod",
        "How far out in the tails a row is, column by column",
        "Li et al., TKDE 2022",
    ),
    "oc-svm": Entry(
        "detectors.baselines.ocsvm:OneClassSvm",
        "One-class support vector machine with a Gaussian kernel",
        "Schölkopf et al., Neural Computation 2001",
        "beyond 10,000 training rows by Nystroem features and stochastic gradients",
    ),
    "dsebm-r": Entry(
        "detectors.baselines.deep.dsebm:DsebmReconstruction",
        "Deep structured energy model, by its reconstruction error",
        "Zhai, Cheng, Lu and Zhang, ICML 2016",
        needs=("torch",),
    ),
    "dsebm-e": Entry(
        "detectors.baselines.deep.dsebm:DsebmEnergy",
        "Deep structured energy model, by its energy",
        "Zhai, Cheng, Lu and Zhang, ICML 2016",
        needs=("torch",),
    ),
    "dcn": Entry(
        "detectors.baselines.deep.dcn:DeepClustering",
        "Autoencoder and k-means together; distance to the nearest centre",
        "Yang, Fu, Sidiropoulos and Hong, ICML 2017",
        needs=("torch",),
    ),
    "deep-svdd": Entry(
        "detectors.baselines.deep.deepsvdd:DeepSvdd",
        "Network that maps normal rows close to a centre; distance to it",
        "Ruff et al., ICML 2018",
        needs=("torch",),
    ),
    "anogan": Entry(
        "detectors.baselines.adversarial.anogan:Anogan",
        "GAN, and a search of its latent space for each scored row",
        "Schlegl et al., IPMI 2017",
        "scores about a thousand distinct rows a second: every one is a search",
        needs=("torch",),
    ),
    "f-anogan": Entry(
        "detectors.baselines.adversarial.fanogan:FastAnogan",
        "Wasserstein GAN, and an encoder in place of the search",
        "Schlegl et al., Medical Image Analysis 2019",
        needs=("torch",),
    ),
    "egbad": Entry(
        "detectors.baselines.adversarial.bigan:EfficientGan",
        "Bidirectional GAN; reconstruction error and feature distance",
        "Zenati et al., ICLR workshop 2018",
        needs=("torch",),
    ),
    "alad": Entry(
        "detectors.baselines.adversarial.alad:Alad",
        "Bidirectional GAN with cycles; feature distance of the reconstruction",
        "Zenati et al., ICDM 2018",
        needs=("torch",),
    ),
    "ganomaly": Entry(
        "detectors.baselines.adversarial.ganomaly:Ganomaly",
        "Encoder, decoder, encoder; distance of the two codes",
        "Akcay, Atapour-Abarghouei and Breckon, ACCV 2018",
        needs=("torch",),
    ),
}

FAST = ("dagmm", "knn", "lof", "mahalanobis", "isolation-forest", "pca", "ecod")
"""Those that fit a table of thousands of rows within seconds, and see different things."""


def entry(name: str) -> Entry:
    """The catalogue's entry of a name.

    Raises:
        SettingsError: there is none; the nearest name is given.
    """
    if name not in CATALOGUE:
        raise unknown("detector", name, CATALOGUE)
    return CATALOGUE[name]


def make_detector(name: str, preset: str | None = None, seed: int = 0, **settings: Any) -> Detector:
    """An unfitted detector, of a preset or ``recommended``, and what differs from it.

    Example:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(200, 4))
        >>> detector = make_detector("pca", components=1).fit(rows)
        >>> detector.energy(np.full((1, 4), 9.0)) > detector.energy(rows).max()
        array([ True])

    Raises:
        SettingsError: unknown detector, preset or setting, or a value that cannot be used.
    """
    return entry(name).load().configure(preset or "recommended", seed, settings)
