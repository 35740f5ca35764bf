"""The catalogue of detectors: each by its name, loaded at its first use."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from dagmm_model.detector import Detector
from dagmm_model.settings import unknown


@dataclass(frozen=True)
class Entry:
    """A detector of the catalogue.

    Attributes:
        home: ``module:Class`` inside this package.
        about: one line.
        source: where it is from.
        limits: what it cannot do, or nothing.
    """

    home: str
    about: str
    source: str
    limits: str = ""

    def load(self) -> type[Detector]:
        """The class."""
        module, _, name = self.home.partition(":")
        found: type[Detector] = getattr(import_module(f"dagmm_model.{module}"), name)
        return found


CATALOGUE: dict[str, Entry] = {
    "dagmm": Entry(
        "estimator:DAGMM",
        "Deep autoencoding Gaussian mixture model, trained end to end",
        "Zong et al., ICLR 2018",
    ),
    "pca": Entry(
        "rivals.simple:PrincipalComponents",
        "Squared reconstruction error of a few principal components",
        "Shyu et al., ICDM Foundations of Data Mining workshop 2003",
    ),
    "mahalanobis": Entry(
        "rivals.simple:Mahalanobis",
        "Squared Mahalanobis distance from the mean",
        "Mahalanobis, Proc. Nat. Inst. Sci. India 1936",
    ),
    "isolation-forest": Entry(
        "rivals.simple:IsolationForest",
        "How few random cuts isolate a row",
        "Liu, Ting and Zhou, ICDM 2008",
    ),
    "knn": Entry(
        "rivals.simple:NearestNeighbours",
        "Mean distance to the nearest training rows",
        "Ramaswamy, Rastogi and Shim, SIGMOD 2000",
        "keeps at most 20,000 training rows",
    ),
}


def entry(name: str) -> Entry:
    """The catalogue's entry of a name.

    Raises:
        SettingsError: there is none; the nearest name is given.
    """
    if name not in CATALOGUE:
        raise unknown("detector", name, CATALOGUE)
    return CATALOGUE[name]


def make_detector(name: str, preset: str | None = None, seed: int = 0, **settings: Any) -> Detector:
    """An unfitted detector.

    Example:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(200, 4))
        >>> detector = make_detector("pca", components=1).fit(rows)
        >>> detector.energy(np.full((1, 4), 9.0)) > detector.energy(rows).max()
        array([ True])

    Args:
        name: in the catalogue.
        preset: named settings; ``recommended`` unless given.
        seed: of everything that is drawn.
        settings: what differs from the preset.

    Raises:
        SettingsError: unknown detector, preset or setting, or a value that cannot be used.
    """
    return entry(name).load().configure(preset or "recommended", seed, settings)
