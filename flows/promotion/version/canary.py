"""The canary batch: a few rows kept at registration, with the energies recorded for them.

Whatever serves a version is asked for them again, and must give the same energies.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from flows.promotion.version import evidence as bound
from flows.promotion.version.stored_version import score_rows, sealed_file
from flows.tracking import registry, seal

CANARY_ROWS = 20
SAME_ENERGY = 1e-6
"""Relative difference up to which two energies of one row are the same."""


def write_canary(frame: pd.DataFrame, energies: np.ndarray, path: Path) -> None:
    """Keep a few rows over the whole range of energies, with the energies recorded for them.

    Args:
        frame: Raw feature columns of the evaluation rows.
        energies: Recorded energies of the same rows, float64 of shape ``(rows,)``.
        path: JSON file to write.
    """
    places = np.linspace(0, len(energies) - 1, min(CANARY_ROWS, len(energies))).astype(int)
    rows = np.argsort(energies, kind="stable")[places]
    chosen = frame.iloc[rows]
    document = {
        "columns": list(chosen.columns),
        "data": [
            [None if value != value else value for value in row]  # NaN is not JSON
            for row in chosen.to_dict("split")["data"]
        ],
        "energy": energies[rows].tolist(),
    }
    path.write_text(json.dumps(document), encoding="utf-8")


def answer_probe(client: MlflowClient, name: str) -> Callable[[int], str]:
    """A probe of ``models:/NAME@production``: what is wrong with its answers, or nothing."""

    def probe(version: int) -> str:
        try:
            serving = client.get_model_version_by_alias(name, registry.PRODUCTION)
            canary = sealed_canary(client, registry.find_version(client, name, version))
            energies = score_rows(client, serving, canary_columns(canary))
        except Exception as error:  # whatever it is, production cannot answer
            return f"{type(error).__name__}: {error}"
        worst = largest_difference(energies, np.array(canary["energy"]))
        if worst <= SAME_ENERGY:
            return ""
        return f"the canary batch differs by {worst:.1e} from the recorded energies"

    return probe


def sealed_canary(client: MlflowClient, version: ModelVersion) -> dict[str, Any]:
    """The canary batch of a version: columns, data and recorded energies.

    Raises:
        SealBroken: It is not the one that the evidence was sealed with.
    """
    changed = f"{bound.CANARY} was changed after the registration"
    with sealed_file(client, version, bound.CANARY, changed) as path:
        if path is None:
            raise seal.SealBroken("its evidence names no canary rows")
        canary: dict[str, Any] = json.loads(path.read_bytes())
    return canary


def canary_columns(canary: dict[str, Any]) -> dict[str, list[Any]]:
    """Raw values of a canary batch by column."""
    return dict(zip(canary["columns"], map(list, zip(*canary["data"], strict=True)), strict=True))


def largest_difference(energies: np.ndarray, recorded: np.ndarray) -> float:
    """Largest difference relative to the recorded energy (absolute below 1); NaN stays NaN."""
    return float((np.abs(energies - recorded) / np.maximum(1.0, np.abs(recorded))).max())
