"""Rows of a benchmark's table: detectors by name and preset, and the rows to judge them by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dagmm_model.base.settings import unknown
from dagmm_model.detectors.catalogue import CATALOGUE, FAST, entry, make_detector
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.scoring.views import constants
from flows.benchmarking.data import Prepared
from flows.benchmarking.protocols import BEST_COLUMN, RANDOM_WEIGHTS, UNTRAINED

REFERENCE = "dagmm"
"""The detector that the others are compared with; its rows get the sanity variants."""
VARIANTS: dict[str, dict[str, Any]] = {
    UNTRAINED: {"epochs": 0},
    RANDOM_WEIGHTS: {"epochs": 0, "linear_path": "none"},
}
"""The reference before any training; with a linear path it starts from the principal axes, so
that only random weights show what the architecture alone does."""


@dataclass(frozen=True)
class Row:
    """A row of the table: a detector with a preset, in a variant or as it is."""

    name: str
    preset: str = ""
    variant: str = ""

    @property
    def label(self) -> str:
        """`NAME` or `NAME:PRESET`, either with `, VARIANT`."""
        named = f"{self.name}:{self.preset}" if self.preset else self.name
        return f"{named}, {self.variant}" if self.variant else named

    def unfitted(self, dataset: str, seed: int) -> Any:
        """Its detector, with the preset's edition for the data set where there is one.

        Without a preset that is one named like the data set: what a baseline's paper used on it.
        The tables of a suite have names of their own and get none: there one rule is measured.
        """
        slug = dataset.replace("_", "-")
        edition = f"{self.preset}-{slug}" if self.preset else slug
        preset = edition if edition in _presets(self.name) else self.preset or None
        return make_detector(self.name, preset, seed, **VARIANTS.get(self.variant, {}))

    def settings_on(self, data: Prepared) -> Any:
        """The settings its detector would have on half of the rows."""
        return self.unfitted(data.dataset, 0).settings_for(data.rows // 2, data.columns)

    def digest_on(self, data: Prepared) -> str:
        """sha256 of all that decides the detector on a data set, but the seed."""
        content: dict[str, Any] = {"name": self.name, "settings": {}}
        if self.name != BEST_COLUMN:
            settings = self.settings_on(data)
            content["settings"] = asdict(settings)
            if isinstance(settings, DagmmSettings):
                content["constants"] = constants(settings)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_sanity(label: str) -> bool:
    """Whether a row is there to judge the others by, not a detector one would use."""
    return label == BEST_COLUMN or ", " in label


def rows_named(texts: Sequence[str]) -> list[Row]:
    """Rows of `NAME` or `NAME:PRESET` texts, each once.

    Raises:
        SettingsError: No such detector or preset; the nearest one is named.
    """
    rows = [Row(name, preset) for name, _, preset in (text.partition(":") for text in texts)]
    for row in rows:
        presets = _presets(row.name)
        if row.preset and not any(
            p == row.preset or p.startswith(f"{row.preset}-") for p in presets
        ):
            raise unknown(f"preset of {row.name}", row.preset, presets)
    return list(dict.fromkeys(rows))


def default_rows(*, suite: bool) -> list[str]:
    """Every detector of the catalogue, and those of the DAGMM paper also as it has them.

    Of a suite, with its many tables, the quick ones only.
    """
    if suite:
        return list(FAST)
    papers = (f"{name}:paper" for name in CATALOGUE if "paper" in _presets(name))
    return [*CATALOGUE, *papers]


def sanity_rows(row: Row, data: Prepared, wanted: Sequence[str]) -> list[Row]:
    """The reference's variants; random weights only where they differ from the untrained ones."""
    if row.name != REFERENCE or row.variant:
        return []
    linear = row.settings_on(data).linear_path != "none"
    shown = [v for v in VARIANTS if v in wanted and (linear or v != RANDOM_WEIGHTS)]
    return [Row(row.name, row.preset, variant) for variant in shown]


def _presets(name: str) -> tuple[str, ...]:
    return tuple(entry(name).load().presets)
