"""Verdicts that another threshold cannot change, carried over from the version in production.

A version made by `dagmm threshold` has the detector of another one. Where that one is in production
and nothing but the threshold differs, byte for byte, its gates need not be judged a second time:
what they found stands, overrides included, and says for which version it was found.
"""

import json
from pathlib import Path
from typing import Any

import mlflow
import yaml
from mlflow.tracking import MlflowClient

from dagmm_model.evaluation.threshold import Threshold
from flows.common.gate_results import GateResult
from flows.common.policy import PromotionPolicy
from flows.promotion import audit
from flows.promotion.gates.table import GATES
from flows.promotion.version.stored_version import StoredVersion, fetch_version
from flows.stages.decision import PromoteRecord
from flows.stages.workspace import sha256_of
from flows.tracking import registry, seal
from flows.tracking.packaging import DIGESTS

BUNDLE, ABOUT = seal.BUNDLE / "bundle.json", "MLmodel"
OF_THE_COPY = {"artifact_path", "model_id", "model_uuid", "run_id", "model_size_bytes"}
"""What MLflow's description of a model says about where the model lies."""
AS_JUDGED = "as judged for version "


def carried_over(
    client: MlflowClient,
    stored: StoredVersion,
    policy: PromotionPolicy,
    production: int | None,
    scratch: Path,
) -> tuple[GateResult, ...] | None:
    """Results of the gates that need not be judged; None when all have to be."""
    source = stored.evidence.get("threshold_of", {})
    if production is None or source.get("version") != production or policy != stored.policy:
        return None
    version = registry.find_version(client, stored.version.name, production)
    if version.tags.get(seal.EVIDENCE_TAG) != source["evidence_sha256"]:
        return None
    folder = scratch / "production"
    folder.mkdir()
    served = fetch_version(client, version, folder)
    if served.problems() or not differs_in_threshold_only(served.model, stored.model):
        return None
    record = _promotion(client, stored.version.name, production)
    return None if record is None else _carried(record)


def differs_in_threshold_only(first: Path, second: Path) -> bool:
    """Whether two models have the same files, but for the threshold and MLflow's own ids."""
    without = {*seal.ADDED_BY_LOADING, BUNDLE.name, ABOUT}
    return (
        sha256_of(first, without) == sha256_of(second, without)
        and _bundle(first) == _bundle(second)
        and _about(first) == _about(second)
    )


def _bundle(model: Path) -> dict[str, Any]:
    state = json.loads((model / BUNDLE).read_text(encoding="utf-8"))
    Threshold(**state.pop("threshold"))  # it is one, and nothing else was put there
    return state


def _about(model: Path) -> dict[str, Any]:
    about = yaml.safe_load((model / ABOUT).read_text(encoding="utf-8"))
    kept = {key: value for key, value in about.items() if key not in OF_THE_COPY}
    # Digests of files that are compared themselves, the one with the threshold among them.
    metadata = about.get("metadata") or {}
    return kept | {"metadata": {k: v for k, v in metadata.items() if k != DIGESTS}}


def _promotion(client: MlflowClient, name: str, version: int) -> PromoteRecord | None:
    """The record of the decision that put a version in production, as far as it can be read."""
    made = [d for d in audit.switches(audit.history(client, name)) if d.version == version]
    for decision in reversed(made):
        if decision.decision == "promoted":
            try:
                text = mlflow.artifacts.load_text(f"runs:/{decision.run_id}/{audit.RECORD}")
                return PromoteRecord.model_validate_json(text)
            except (OSError, ValueError, mlflow.MlflowException):
                return None
    return None


def _carried(record: PromoteRecord) -> tuple[GateResult, ...] | None:
    results: list[GateResult] = []
    for gate in GATES:
        if not gate.of_detector:
            continue
        if gate.relative:
            note = f"version {record.version} in production has the same detector"
            results.append(gate.carried(note))
            continue
        before = [result for result in record.gates if result.gate == gate.name]
        if not before:
            return None  # a gate that there was not yet
        results += [_noted(result, record.version) for result in before]
    return tuple(results)


def _noted(result: GateResult, version: int) -> GateResult:
    if result.note.startswith(AS_JUDGED):
        return result
    note = f"{AS_JUDGED}{version}, which has the same detector" + (
        f": {result.note}" if result.note else ""
    )
    return result.model_copy(update={"note": note})
