"""What a candidate must show before promotion. All gates are judged, all are reported.

A gate that had nothing to measure (no labels, no production model) passes and says so; a figure
that is missing or not finite where it should be there fails.
"""

from __future__ import annotations

import math

import numpy as np

from dagmm_model.evaluation import paper_metrics
from flows.config import PromotionPolicy
from flows.records import CalibrateRecord, EvaluateRecord, GateResult, SplitRecord

SAME_ENERGY = 1e-6


def judge(
    policy: PromotionPolicy,
    parts: SplitRecord,
    calibrated: CalibrateRecord,
    evaluated: EvaluateRecord,
    labels: np.ndarray | None,
    recorded: np.ndarray,
    candidate: np.ndarray,
    production: np.ndarray | None,
) -> tuple[GateResult, ...]:
    """Judge every gate.

    Args:
        policy: Floors and margins.
        parts: How the rows were divided.
        calibrated: The threshold.
        evaluated: Metrics recorded at training.
        labels: True for anomalous evaluation rows, shape ``(rows,)``; None when unlabelled.
        recorded: Energies of the evaluation rows recorded at training, shape ``(rows,)``.
        candidate: Energies of the candidate on the same rows, scored now.
        production: Energies of the production model on the same rows, scored now; None when
            there is no production model.
    """
    return (
        _deployable(parts, calibrated),
        _same_energies(recorded, candidate),
        _floor(policy, evaluated),
        _not_worse(policy, labels, candidate, production),
    )


def _gate(name: str, passed: bool, message: str, *, measured: bool = True) -> GateResult:
    return GateResult(gate=name, passed=passed, measured=measured, message=message)


def _deployable(parts: SplitRecord, calibrated: CalibrateRecord) -> GateResult:
    if not calibrated.deployable:
        return _gate(
            "deployable threshold",
            False,
            f"the {parts.protocol} protocol set the threshold with test labels; "
            "train with split.protocol=deployment to get a model for production",
        )
    ok = math.isfinite(calibrated.threshold.value)
    return _gate("deployable threshold", ok, f"threshold {calibrated.threshold.value:.4g}")


def _same_energies(recorded: np.ndarray, candidate: np.ndarray) -> GateResult:
    if not np.isfinite(candidate).all():
        return _gate("reproduces its energies", False, "the candidate gives non-finite energies")
    scale = np.maximum(1.0, np.abs(recorded))
    worst = float((np.abs(candidate - recorded) / scale).max())
    return _gate(
        "reproduces its energies",
        worst <= SAME_ENERGY,
        f"largest difference from the energies recorded at training: {worst:.1e}",
    )


def _floor(policy: PromotionPolicy, evaluated: EvaluateRecord) -> GateResult:
    metrics = evaluated.deployment
    anomalies = metrics.anomalies or 0
    if metrics.roc_auc is None or anomalies < policy.min_anomalies:
        why = metrics.not_reported or (
            f"{anomalies} labelled test anomalies, {policy.min_anomalies} needed"
        )
        return _gate("ROC AUC floor", True, f"quality not measured: {why}", measured=False)
    value = metrics.roc_auc.value
    return _gate(
        "ROC AUC floor",
        math.isfinite(value) and value >= policy.min_roc_auc,
        f"ROC AUC {value:.3f} [{metrics.roc_auc.low:.3f}, {metrics.roc_auc.high:.3f}], "
        f"floor {policy.min_roc_auc:.3f}",
    )


def _not_worse(
    policy: PromotionPolicy,
    labels: np.ndarray | None,
    candidate: np.ndarray,
    production: np.ndarray | None,
) -> GateResult:
    name = "not worse than production"
    if production is None:
        return _gate(name, True, "no production model yet", measured=False)
    if labels is None or not 0 < labels.sum() < len(labels):
        return _gate(
            name, True, "quality not measured: no labelled anomalies to compare on", measured=False
        )
    if not np.isfinite(candidate).all() or not np.isfinite(production).all():
        return _gate(name, False, "an energy is not finite")
    ours = paper_metrics(labels, candidate).average_precision
    theirs = paper_metrics(labels, production).average_precision
    return _gate(
        name,
        ours >= theirs - policy.margin,
        f"average precision {ours:.4f} against {theirs:.4f} of production on the same "
        f"{len(labels):,} rows (difference {ours - theirs:+.4f}, margin {policy.margin})",
    )
