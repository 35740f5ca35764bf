"""The catalogue of detectors: each by its name, loaded at its first use."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
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
    needs: Sequence[str] = ()

    def load(self) -> type[Detector]:
        """The class."""
        module, _, name = self.home.partition(":")
        detector: type[Detector] = getattr(import_module(f"dagmm_model.{module}"), name)
        return detector


_DETECTORS = tomllib.loads((files("dagmm_model.detectors") / "catalogue.toml").read_text("utf-8"))
_PRESETS: dict[str, dict[str, Any]] = {
    name: entry.pop("presets", {}) for name, entry in _DETECTORS.items()
}

CATALOGUE = {name: Entry(**entry) for name, entry in _DETECTORS.items()}
"""The entries of `catalogue.toml`."""

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


def presets_of(name: str) -> dict[str, dict[str, Any]]:
    """What each preset of a detector changes; ``recommended`` nothing."""
    return {"recommended": {}, **_PRESETS.get(name, {})}


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
