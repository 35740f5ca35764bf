"""F1 figures that papers report, each by its protocol, to compare measured ones with.

They stand in `f1_published.csv`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


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
    protocol: str


@cache
def published_figures() -> tuple[Published, ...]:
    """Every figure of the file."""
    text = (files("dagmm_model.evaluation") / "f1_published.csv").read_text("utf-8")
    lines: list[dict[str, str]] = list(csv.DictReader(text.splitlines()))
    return tuple(
        Published(**{**line, "f1": float(line["f1"]), "checked": line["checked"] == "yes"})  # type: ignore[arg-type]
        for line in lines
    )


def published(detector: str, dataset: str) -> Published | None:
    """The figure of a detector on a data set by the DAGMM paper's protocol, where one is known."""
    for figure in published_figures():
        if (figure.detector, figure.dataset, figure.protocol) == (detector, dataset, "paper"):
            return figure
    return None
