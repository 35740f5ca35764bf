"""A version's energies and figures, gathered for the gates that judge them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from mlflow.tracking import MlflowClient

from flows.common.features import model_input
from flows.common.policy import PromotionPolicy
from flows.promotion.trial_server import ServingProcess
from flows.promotion.version import evidence as bound
from flows.promotion.version.stored_version import StoredVersion
from flows.tracking import seal


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


def read_case(stored: StoredVersion, policy: PromotionPolicy) -> Case:
    """Score the candidate on its evaluation rows and gather what the gates judge."""
    from dagmm_model.detectors.file_format import load_bundle

    frame = model_input(stored.rows, stored.contract)
    recorded, labels, slices = stored.recorded()
    bundle = load_bundle(stored.model / seal.BUNDLE)
    baselines, positions = _baselines(stored.files / bound.BASELINES)
    return Case(
        policy=policy,
        evidence=stored.evidence,
        frame=frame,
        labels=labels,
        slices=slices,
        recorded=recorded,
        candidate=bundle.score(frame).energy,
        production=None,
        production_error="",
        baselines=baselines,
        baseline_rows=positions,
        threshold=bundle.threshold.value,
        calibration=bundle.calibration,
        health=_health(bundle.detector),
    )


def _health(detector: Any) -> MixtureState | None:
    """The worst of the mixtures; None where the detector says that it has none."""
    if detector.health_ is None:
        return None
    every = [mixture.health() for mixture in detector.mixtures_]
    return MixtureState(
        min(health.min_phi for health in every),
        max(health.max_condition for health in every),
        min(health.effective_components for health in every),
    )


def _baselines(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    if not path.exists():
        return {}, np.array([], dtype=np.int64)
    table = pq.read_table(path)
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    return columns, columns.pop("position")
