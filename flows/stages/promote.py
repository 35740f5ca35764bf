"""A registered version to a decision: promoted to production, or rejected with reasons."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pyarrow.parquet as pq
from mlflow.tracking import MlflowClient

from data_checks.contract import load_contract
from flows import registry
from flows.config import PromotionPolicy
from flows.errors import UsageError
from flows.features import model_input
from flows.gates import judge
from flows.records import (
    CalibrateRecord,
    EvaluateRecord,
    GateResult,
    PromoteRecord,
    SplitRecord,
)
from flows.settings import Settings
from flows.stages.register import EVALUATION, recorded_energies


def promote(
    client: MlflowClient,
    settings: Settings,
    name: str,
    version: int,
    *,
    by: str,
    policy: PromotionPolicy | None = None,
) -> PromoteRecord:
    """Judge a version against the policy and against production, and carry out the decision.

    Candidate and production are scored now, on the evaluation rows kept with the candidate's run.

    Args:
        client: Registry.
        settings: Where the lock and the audit live.
        name: Registered model.
        version: Candidate.
        by: Who asks, for the audit trail.
        policy: Floors and margins; those of the candidate's own configuration unless given.

    Raises:
        UsageError: The version does not exist or carries no evidence.
    """
    candidate = registry.find_version(client, name, version)
    with registry.decision_lock(settings, name), tempfile.TemporaryDirectory() as scratch:
        evidence, rows = _download(client, candidate.run_id, Path(scratch), name, version)
        policy = policy or PromotionPolicy.model_validate(evidence["config"]["promotion"])
        before = registry.version_behind(client, name, registry.PRODUCTION)
        if before == version:
            return PromoteRecord(
                name=name,
                version=version,
                decision="unchanged",
                previous=registry.version_behind(client, name, registry.PREVIOUS),
                gates=(),
                reasons=("this version is in production already",),
            )
        frame = model_input(
            pq.read_table(rows / "test_rows.parquet"), load_contract(rows / "contract.json")
        )
        recorded, labels = recorded_energies(rows)
        gates = judge(
            policy,
            SplitRecord.model_validate(evidence["split"]),
            CalibrateRecord.model_validate(evidence["calibrate"]),
            EvaluateRecord.model_validate(evidence["evaluate"]),
            labels,
            recorded,
            _energies(name, version, frame),
            None if before is None else _energies(name, before, frame),
        )
        passed = all(gate.passed for gate in gates)
        decision = "rejected" if not passed else "promoted" if policy.promote else "registered only"
        record = PromoteRecord(
            name=name,
            version=version,
            decision=decision,
            previous=before,
            gates=gates,
            reasons=tuple(_sentence(gate) for gate in gates),
        )
        with registry.audited(client, settings, record, by):
            for key, value in {
                "dagmm.decision": decision,
                "dagmm.reasons": "\n".join(record.reasons)[:5000],
            }.items():
                client.set_model_version_tag(name, str(version), key, value)
            if decision == "promoted":
                registry.put_in_production(client, name, version)
    return record


def _energies(name: str, version: int, frame: object) -> np.ndarray:
    model = mlflow.pyfunc.load_model(f"models:/{name}/{version}")
    return model.predict(frame)["energy"].to_numpy()


def _sentence(gate: GateResult) -> str:
    verdict = "passed" if gate.measured else "not measured"
    return f"{gate.gate}: {verdict if gate.passed else 'FAILED'} – {gate.message}"


def _download(
    client: MlflowClient, run_id: str | None, folder: Path, name: str, version: int
) -> tuple[dict, Path]:
    try:
        if not run_id:
            raise OSError("it belongs to no run")
        evidence = client.download_artifacts(run_id, "evidence.json", str(folder))
        rows = client.download_artifacts(run_id, EVALUATION, str(folder))
    except (OSError, mlflow.MlflowException) as error:
        raise UsageError(
            f"version {version} of {name!r} carries no evidence ({error}); "
            "register it through `dagmm train`"
        ) from None
    return json.loads(Path(evidence).read_text(encoding="utf-8")), Path(rows)


def roll_back(
    client: MlflowClient,
    settings: Settings,
    name: str,
    to: int | None,
    *,
    by: str,
    reason: str = "",
) -> PromoteRecord:
    """Put an earlier version back in production, without data, training or gates.

    Args:
        client: Registry.
        settings: Where the lock and the audit live.
        name: Registered model.
        to: Version to return to; the one behind `previous` unless given.
        by: Who asks.
        reason: Why.

    Raises:
        UsageError: There is no version to return to, or it was never in production.
    """
    with registry.decision_lock(settings, name):
        decisions = registry.history(client, name)
        now = registry.version_behind(client, name, registry.PRODUCTION)
        target = to or registry.version_behind(client, name, registry.PREVIOUS)
        if target is None:
            raise UsageError(f"{name!r} has no previous production version to return to")
        registry.find_version(client, name, target)
        served = {d.version for d in decisions if d.decision in {"promoted", "rolled back"}}
        if target not in served:
            raise UsageError(
                f"version {target} of {name!r} was never in production; "
                f"use `dagmm promote {name} {target}`, which judges it first"
            )
        record = PromoteRecord(
            name=name,
            version=target,
            decision="unchanged" if now == target else "rolled back",
            previous=now,
            gates=(),
            reasons=(reason or "no reason given",),
        )
        if now != target:
            with registry.audited(client, settings, record, by):
                registry.put_in_production(client, name, target)
    return record
