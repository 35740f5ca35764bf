"""The page of a version and of the decision on it: one file, of what is kept of the version."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dagmm_model.evaluation.metrics import Interval
from data_checks.contract.model import ROW_ID
from flows.common.features import as_columns
from flows.common.readable import minute
from flows.promotion.version.stored_version import StoredVersion
from flows.reporting import html
from flows.reporting.summary import effect_of_training, figures, loss_weights
from flows.stages.decision import Evidence, PromoteRecord
from flows.tracking import seal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dagmm_model.detectors.bundle import ScoringBundle
    from dagmm_model.evaluation.what_if import WhatIf

EXPLAINED = 15
SLICES = 40
TONES = {
    "promoted": "good",
    "rolled back": "good",
    "unchanged": "good",
    "rejected": "bad",
    "returned": "bad",
    "pending approval": "careful",
    "pending shadow": "careful",
    "held": "careful",
    "registered only": "careful",
    "passed": "good",
    "failed": "bad",
    "waits": "careful",
    "overridden": "careful",
}


def render_version(
    stored: StoredVersion, record: PromoteRecord, pictures: Mapping[str, bytes]
) -> str:
    """HTML of a version and the decision on it, with figures that are drawn already, if any."""
    # The figure that decided; the table has them all.
    against = [f"{gate.title}: {gate.in_short}" for gate in record.gates if gate.holds_back]
    forced = [f"{g.title}: overridden by {g.overridden}" for g in record.gates if g.overridden]
    kept: dict[str, Any] = {"evidence": None}  # and nothing is said of files that are not its own
    if not stored.problems():
        evidence = Evidence.model_validate(stored.evidence)
        kept = {
            "evidence": evidence,
            "config": stored.evidence["config"],
            "figures": list(figures(evidence.evaluate.deployment)),
            # A way back is in a hurry; its figures are on the page of the promotion.
            "drawn": _drawn(stored, evidence, pictures) if record.gates else None,
            "origin": _origin(stored, evidence),
        }
    return html.render(
        "version.html",
        f"{record.name} version {record.version}: {record.summary()}",
        record=record,
        stored=stored,
        lines=[line for line in (record.remark, *against, *forced, record.beside) if line],
        tones=TONES,
        now=minute(time.time()),
        **kept,
    )


def _drawn(
    stored: StoredVersion, evidence: Evidence, pictures: Mapping[str, bytes]
) -> dict[str, Any]:
    """What takes seconds: figures, and the explanations of single rows."""
    from dagmm_model.detectors.file_format import load_bundle
    from dagmm_model.evaluation.what_if import ROWS, what_if
    from flows.reporting import plots

    bundle = load_bundle(stored.model / seal.BUNDLE)
    energies, labels, _ = stored.recorded()
    drawn = pictures or plots.at_threshold(energies, labels, bundle.threshold.value)
    budgets: tuple[WhatIf, ...] = ()
    current = bundle.threshold.target_rate
    if evidence.calibrate.deployable:
        rows = stored.rows_per_day or ROWS
        budgets = what_if(bundle.calibration, energies, labels, rows=rows, also=[current])
    slices = evidence.evaluate.slices
    return {
        "energies": {name: drawn[name] for name in plots.AT_THRESHOLD if name in drawn},
        "budgets": budgets,
        "daily": stored.rows_per_day is not None,
        "budget_curves": pictures.get("what_if")
        or (budgets and plots.what_if_curves(budgets, bundle.threshold.guaranteed_rate)),
        "budget_rows": [
            (
                f"{line.rate:.3g}{' (in use)' if line.rate == current else ''}",
                f"{line.threshold:.5g}",
                f"{line.alarms.value:.1f} [{line.alarms.low:.0f}, {line.alarms.high:.0f}]",
                *(_share(each) for each in (line.alert_rate, line.recall, line.precision)),
            )
            for line in budgets
        ],
        "slices": [
            (
                *(each.value, f"{each.rows:,}", f"{each.anomalies:,}"),
                *map(_share, (each.flagged_rate, each.recall, each.false_alarm_rate)),
            )
            for each in slices[:SLICES]
        ],
        "more_slices": len(slices) - SLICES,
        "explained": _explanations(stored, bundle, energies, labels),
        "explains": bundle.explains,
        "losses": bundle.detector.history_
        and (pictures.get("losses") or _losses(bundle, evidence)),
    }


def _losses(bundle: ScoringBundle, evidence: Evidence) -> Figure:
    from flows.reporting import plots

    effect = effect_of_training(evidence.evaluate)
    weights = loss_weights(evidence.fit.settings)
    return plots.loss_curves(bundle.detector.history_, weights, effect)


def _share(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    return interval.text(3)


def _explanations(
    stored: StoredVersion, bundle: ScoringBundle, energies: np.ndarray, labels: np.ndarray | None
) -> list[tuple[object, ...]]:
    from flows.scoring.rows import reasons_text

    worst = np.argsort(-energies, kind="stable")[:EXPLAINED]
    table = stored.rows.take(worst)
    features = table.select([column.name for column in stored.contract.feature_columns])
    scores = bundle.score(as_columns(features), "all")
    reasons, _ = reasons_text(scores.reasons, 3, len(worst))
    known = ["" if labels is None else "anomaly" if labels[row] else "normal" for row in worst]
    return [
        (row, label, f"{energy:.4g}", f"{p:.4f}", reason or "–")
        for row, label, energy, p, reason in zip(
            table.column(ROW_ID).to_pylist(),
            known,
            scores.energy,
            scores.p_value,
            reasons.to_pylist(),
            strict=True,
        )
    ]


def _origin(stored: StoredVersion, evidence: Evidence) -> list[tuple[str, str]]:
    document: dict[str, Any] = stored.evidence
    checked, parts = evidence.validation, evidence.split
    source = document.get("threshold_of")
    return [
        ("Data", f"{evidence.ingest.source}: {checked.rows_in:,} rows, "
         f"{checked.rows_quarantined:,} quarantined"),
        ("Checks", checked.message or "passed"),
        ("Split", f"{parts.protocol} protocol, seed {parts.seed}: {parts.summary()}"),
        ("Training", f"{evidence.fit.summary()} in {evidence.fit.seconds:.1f} s"),
        *([("Detector of", f"version {source['version']}")] if source else []),
        ("Requested by", stored.requested_by or "–"),
        ("Code", f"{document.get('git_commit', '–')}"
         f"{' with local changes' if document.get('git_dirty') == 'true' else ''}"),
        ("Evidence", f"sha256 {stored.sha256}"),
        ("Model", f"sha256 {document['model_sha256']}"),
        ("Run", str(stored.version.run_id)),
    ]  # fmt: skip
