"""F1 figures that papers report, each by its protocol, to compare measured ones with."""

from __future__ import annotations

from dataclasses import dataclass

DAGMM_PAPER = "Zong et al., ICLR 2018, table 2"
EGBAD_PAPER = "Zenati et al., Efficient GAN-Based Anomaly Detection, 2018"
ALAD_PAPER = "Zenati et al., Adversarially Learned Anomaly Detection, ICDM 2018"
GOAD_PAPER = "Bergman and Hoshen, GOAD, ICLR 2020"
NEUTRAL_PAPER = "Qiu et al., NeuTraL AD, ICML 2021"


@dataclass(frozen=True)
class Published:
    """One published figure.

    Attributes:
        detector: Its name in the catalogue, or one that is not in it.
        dataset: Name of the contract.
        f1: F1 with the threshold at the known anomaly ratio.
        source: Where it was published.
        checked: Whether it was read in the source; others are quoted from memory.
        protocol: By which it was measured: that of the DAGMM paper, or GOAD's.
    """

    detector: str
    dataset: str
    f1: float
    source: str
    checked: bool
    protocol: str = "paper"


def _dagmm_paper(dataset: str, checked: bool, **figures: float) -> tuple[Published, ...]:
    return tuple(
        Published(name.replace("_", "-"), dataset, f1, DAGMM_PAPER, checked)
        for name, f1 in figures.items()
    )


def _goad(detector: str, source: str, **figures: float) -> tuple[Published, ...]:
    return tuple(
        Published(detector, dataset, f1, source, False, "goad") for dataset, f1 in figures.items()
    )


PUBLISHED: tuple[Published, ...] = (
    *_dagmm_paper(
        "kddcup",
        True,
        oc_svm=0.7954,
        dsebm_r=0.1987,
        dsebm_e=0.7423,
        dcn=0.7762,
        gmm_en=0.1949,
        pae=0.7336,
        e2e_ae=0.0024,
        pae_gmm_em=0.7246,
        pae_gmm=0.7317,
        dagmm_p=0.7644,
        dagmm_nvi=0.9368,
        dagmm=0.9369,
    ),
    *_dagmm_paper(
        "thyroid",
        True,
        oc_svm=0.3887,
        dsebm_r=0.0403,
        dsebm_e=0.1319,
        dcn=0.3251,
        gmm_en=0.0220,
        pae=0.1971,
        e2e_ae=0.1176,
        pae_gmm_em=0.4635,
        pae_gmm=0.4688,
        dagmm_p=0.4713,
        dagmm_nvi=0.4470,
        dagmm=0.4782,
    ),
    *_dagmm_paper("arrhythmia", False, oc_svm=0.4581, e2e_ae=0.4591, pae_gmm=0.4684, dagmm=0.4983),
    *_dagmm_paper("kddcup_rev", False, oc_svm=0.8316, e2e_ae=0.7448, pae_gmm=0.6292, dagmm=0.9380),
    Published("egbad", "kddcup", 0.937, EGBAD_PAPER, False),
    Published("anogan", "kddcup", 0.887, EGBAD_PAPER, False),
    Published("alad", "kddcup", 0.950, ALAD_PAPER, False),
    Published("alad", "arrhythmia", 0.515, ALAD_PAPER, False),
    Published("anogan", "arrhythmia", 0.424, ALAD_PAPER, False),
    Published("isolation-forest", "arrhythmia", 0.530, ALAD_PAPER, False),
    *_goad("goad", GOAD_PAPER, kddcup=0.984, kddcup_rev=0.989, thyroid=0.745, arrhythmia=0.520),
    *_goad("neutral-ad", NEUTRAL_PAPER, thyroid=0.768, arrhythmia=0.603),
)


def published(detector: str, dataset: str) -> Published | None:
    """The figure of a detector on a data set by the DAGMM paper's protocol, where one is known."""
    for figure in PUBLISHED:
        if (figure.detector, figure.dataset, figure.protocol) == (detector, dataset, "paper"):
            return figure
    return None
