"""A version's energies and figures, gathered for the gates that judge them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.common.policy import PromotionPolicy

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from flows.promotion.served import ServingProcess
    from flows.promotion.version.stored_version import StoredVersion

SAME_ENERGY = 1e-6
"""Relative difference up to which two energies of one row are the same."""


@dataclass(frozen=True)
class MixtureState:
    """State of the mixtures in the model's files, over all members of an ensemble."""

    min_phi: float
    max_condition: float
    effective_components: float


@dataclass(frozen=True)
class Case:
    """Everything that the gates judge; arrays are of the evaluation rows, ``(rows,)``.

    Attributes:
        frame: Raw feature columns.
        labels: True for anomalous rows; None when the rows are unlabelled.
        slices: Slice value of each row, or None.
        recorded: Energies recorded at training.
        candidate: Energies of the candidate, scored now.
        production: Energies of the production model, scored now; None without one.
        production_error: Why the production model could not be scored, or an empty string.
        best: Energies of the best version that was in production before, scored now; None where
            none can be compared.
        baselines: Energies of the simple detectors by name.
        baseline_rows: Positions of the rows that the simple detectors scored, int64.
        calibration: Ascending energies the threshold was calibrated on.
        health: State of the candidate's mixtures; None of a detector that has none.
    """

    policy: PromotionPolicy
    evidence: Mapping[str, Any]
    frame: Any
    labels: np.ndarray | None
    slices: np.ndarray | None
    recorded: np.ndarray
    candidate: np.ndarray
    production: np.ndarray | None
    production_error: str
    baselines: Mapping[str, np.ndarray]
    baseline_rows: np.ndarray
    threshold: float
    calibration: np.ndarray
    health: MixtureState | None
    best: np.ndarray | None = None
    best_version: int | None = None

    @property
    def measurable(self) -> bool:
        """Whether both classes are labelled."""
        return self.labels is not None and 0 < int(self.labels.sum()) < len(self.labels)


@dataclass(frozen=True)
class Material:
    """What the gates judge a version by; each looks only at what it `needs`.

    Attributes:
        stored: The candidate as it lies in the stores.
        production: Version that is in production, or None.
        case: The candidate's energies; None when its files are not those of the evidence.
        release: Why a person releases a held model with this decision; None if nobody does.
        server: The candidate being served; None when the policy switched that off.
    """

    policy: PromotionPolicy
    client: MlflowClient
    stored: StoredVersion
    production: int | None
    case: Case | None = None
    release: str | None = None
    server: ServingProcess | None = None


def largest_difference(energies: np.ndarray, recorded: np.ndarray) -> float:
    """Largest difference relative to the recorded energy (absolute below 1); NaN stays NaN."""
    return float((np.abs(energies - recorded) / np.maximum(1.0, np.abs(recorded))).max())
