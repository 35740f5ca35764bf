"""Figures that papers report, to compare measured ones with and rank detectors among.

`f1_published.csv` holds F1 figures, each by its protocol. `adbench_published.csv` holds ROC AUC and
average precision, in per cent, means of five seeds, of 26 methods on tables of ADBench: Livernoche,
Jain, Hezaveh and Ravanbakhsh, *On Diffusion Modeling for Anomaly Detection*, ICLR 2024, the
one-class setting.
"""

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

SOURCE = "Livernoche et al., On Diffusion Modeling for Anomaly Detection, ICLR 2024"
COLUMNS = {"roc_auc": "auroc", "ap": "ap"}
"""Column of the file by figure."""

Figures = dict[str, dict[str, float]]
"""By method, then by figure (``roc_auc``, ``ap``), each between 0 and 1."""


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


def read_published(path: Path | None = None) -> dict[str, Figures]:
    """Published figures by table, of a file in place of the packaged one where a path is given.

    It has the columns table, method, auroc and ap (in per cent, a figure that was not published
    empty).

    Raises:
        ValueError: A line without these columns, or a figure that is not a number.

    Example:
        >>> read_published()["thyroid"]["KNN"]["roc_auc"]
        0.9868
    """
    if path is None:
        packaged = files("dagmm_model.evaluation").joinpath("adbench_published.csv")
        return _parsed("adbench_published.csv", packaged.read_text("utf-8").splitlines())
    return _parsed(str(path), path.read_text("utf-8").splitlines())


def _parsed(name: str, lines: Iterable[str]) -> dict[str, Figures]:
    tables: dict[str, Figures] = {}
    for number, row in enumerate(csv.DictReader(lines), start=2):
        try:
            figures = {f: row[column] for f, column in COLUMNS.items()}
            values = {f: round(float(v) / 100, 6) for f, v in figures.items() if v}
            table, method = row["table"], row["method"]
        except (KeyError, ValueError, TypeError):
            raise ValueError(
                f"{name}, line {number}: needs table, method, auroc and ap in per cent; has {row}"
            ) from None
        if not all(0 <= value <= 1 and math.isfinite(value) for value in values.values()):
            raise ValueError(f"{name}, line {number}: a figure is not between 0 and 100")
        tables.setdefault(table, {})[method] = values
    return tables
