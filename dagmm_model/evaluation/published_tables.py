"""Figures that a paper reports on many tables, to rank measured detectors among them.

`adbench_published.csv` holds ROC AUC and average precision, in per cent, means of five seeds, of 26
methods on tables of ADBench: Livernoche, Jain, Hezaveh and Ravanbakhsh, *On Diffusion Modeling for
Anomaly Detection*, ICLR 2024, the one-class setting.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

SOURCE = "Livernoche et al., On Diffusion Modeling for Anomaly Detection, ICLR 2024"
COLUMNS = {"roc_auc": "auroc", "ap": "ap"}
"""Column of the file by figure."""

Figures = dict[str, dict[str, float]]
"""By method, then by figure (``roc_auc``, ``ap``), each between 0 and 1."""


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
