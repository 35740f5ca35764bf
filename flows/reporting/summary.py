"""What a finished run says: metrics for MLflow, the model card, and the text on the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dagmm_model.evaluation.metrics import Interval
from data_checks.contract import Contract
from flows.common.config import TrainConfig
from flows.common.records import (
    EvaluateRecord,
    Evidence,
    PromoteRecord,
    TrainResult,
    ValidateRecord,
)

if TYPE_CHECKING:
    from flows.promotion.audit import Decision

TOLD_WHEN_PASSED = ("not worse than production", "approval")
QUALITY_GATES = ("ROC AUC floor", "recall floor")
LABEL_FIGURES = ("roc_auc", "average_precision", "precision", "recall", "f1", "false_alarm_rate")


def metric_values(evaluated: EvaluateRecord) -> dict[str, float]:
    """Final metrics by their MLflow names; `deployed/` and `paper/` tell the protocols apart."""
    values = {"deployed/alert_rate": evaluated.deployment.alert_rate}
    for name in LABEL_FIGURES:
        interval: Interval | None = getattr(evaluated.deployment, name)
        if interval is not None:
            values[f"deployed/{name}"] = interval.value
            values[f"test_interval/{name}_low"] = interval.low
            values[f"test_interval/{name}_high"] = interval.high
    if evaluated.known_ratio is not None:
        for name in ("precision", "recall", "f1"):
            values[f"paper/{name}"] = getattr(evaluated.known_ratio, name)
    for row in evaluated.sanity:
        name = row.name.partition(" (")[0].replace(" ", "_")
        values[f"sanity/{name}/f1"] = row.f1
        values[f"sanity/{name}/roc_auc"] = row.roc_auc
    return values


def model_card(contract: Contract, config: TrainConfig, evidence: Evidence) -> str:
    """Markdown description of a model version, readable without our command."""
    parts, fitted, evaluated = evidence.split, evidence.fit, evidence.evaluate
    threshold = evidence.calibrate.threshold
    lines = [
        # MLflow's list of versions shows the first line only, and that as plain text.
        f"{contract.title or contract.name}: {config.detector.name}, {evaluated.summary()}",
        "",
        f"Detector **{config.detector.name}**, preset **{config.detector.preset}**, "
        f"seed {config.seed}, {fitted.summary()}.",
        "",
        f"Trained on {parts.train_rows:,} normal rows; threshold **{threshold.value:.4g}** from "
        f"{threshold.calibration_rows:,} rows ({threshold.method}); a row above it is an anomaly.",
        "",
        f"Guaranteed false-alarm rate: {threshold.guaranteed_rate:.3g} "
        f"(asked for {threshold.target_rate:.3g}). {threshold.note}".rstrip(),
        "",
        "| figure on the test rows | value | 95 % interval |",
        "|---|---|---|",
        *(f"| {name} | {value} | {interval} |" for name, value, interval in _figures(evaluated)),
    ]
    if evaluated.deployment.not_reported:
        lines += ["", evaluated.deployment.not_reported]
    return "\n".join(lines)


def data_quality(validated: ValidateRecord) -> list[dict[str, object]]:
    """Rows of the data quality table."""
    if not validated.failures:
        return [{"expectation": "all", "column": "", "severity": "", "rows": 0, "verdict": "met"}]
    return [
        {
            "expectation": failure.expectation,
            "column": failure.column or "",
            "severity": failure.severity,
            "rows": failure.unexpected,
            "verdict": failure.message,
        }
        for failure in validated.failures
    ]


def decision_card(record: PromoteRecord) -> str:
    """Markdown of a promotion decision."""
    lines = [f"# {record.name} version {record.version}: {record.summary()}", ""]
    lines += [f"- {reason}" for reason in record.reasons]
    if record.previous is not None:
        tense = "now" if record.rehearsal else "before"
        lines += ["", f"In production {tense}: version {record.previous}."]
    if record.rehearsal:
        lines += ["", "Rehearsal: nothing was changed."]
    elif record.gates and not _quality_measured(record):
        lines += ["", "Detection quality was not measured: only label-free gates decided."]
    return "\n".join(lines)


def _quality_measured(record: PromoteRecord) -> bool:
    return any(gate.measured for gate in record.gates if gate.gate in QUALITY_GATES)


def render(result: TrainResult) -> str:
    """The text that ends `dagmm train`."""
    return "\n".join(_lines(result))


def _lines(result: TrainResult) -> Iterable[str]:
    found = result.evidence
    checked, parts, fitted, evaluated = found.validation, found.split, found.fit, found.evaluate
    threshold = found.calibrate.threshold
    yield f"dagmm train {result.dataset}"
    yield ""
    yield f"Data       {checked.rows_in:,} rows in, {checked.rows_valid:,} valid, " + (
        f"{checked.rows_quarantined:,} quarantined"
    )
    yield f"Split      {parts.protocol} protocol, seed {parts.seed}: {parts.summary()}" + (
        f" ({parts.test_anomalies:,} anomalies)" if parts.test_anomalies is not None else ""
    )
    last = ", ".join(f"{k} {v:.4g}" for k, v in fitted.last_epoch.items() if "/" not in k)
    yield (
        f"Training   {f'{fitted.epochs} epochs' if fitted.epochs else 'fitted'} on {fitted.where} "
        f"in {fitted.seconds:.1f} s" + (f"; last epoch: {last}" if last else "")
    )
    yield f"Threshold  {threshold.value:.6g}, {threshold.method}"
    if found.calibrate.deployable:
        yield (
            f"           false-alarm rate at most {threshold.guaranteed_rate:.3g} in expectation "
            f"(asked for {threshold.target_rate:.3g}; {threshold.calibration_rows:,} rows)"
        )
    if threshold.note:
        yield f"           {threshold.note}"
    yield ""
    how = (
        "as deployed (calibrated threshold)"
        if found.calibrate.deployable
        else "threshold by the test rows' labels"
    )
    yield f"Test rows  {how:<44}95 % interval"
    for name, value, interval in _figures(evaluated):
        yield f"           {name:<22} {value:>8}   {interval}"
    if evaluated.deployment.not_reported:
        yield f"           {evaluated.deployment.not_reported}"
    if evaluated.known_ratio is not None:
        paper = evaluated.known_ratio
        yield "           paper protocol's threshold (uses the test rows' known anomaly ratio)"
        yield (
            f"           precision {paper.precision:.4f}   recall {paper.recall:.4f}   "
            f"F1 {paper.f1:.4f}"
        )
        for row in evaluated.sanity:
            yield (
                f"           beside it, {row.name}: F1 {row.f1:.4f}, ROC AUC {row.roc_auc:.4f}, "
                f"average precision {row.average_precision:.4f}"
            )
    yield ""
    yield f"MLflow     run {result.registration.run_id}"
    yield f"Registry   {result.registration.name} version {result.registration.version}"
    yield f"Promotion  {result.promotion.decision}"
    for reason in result.promotion.reasons:
        yield f"           - {reason}"
    yield ""
    yield f"Next       dagmm ui        # then open {result.run_url}"


def _figures(evaluated: EvaluateRecord) -> Iterable[tuple[str, str, str]]:
    metrics = evaluated.deployment
    for name in LABEL_FIGURES:
        interval: Interval | None = getattr(metrics, name)
        if interval is not None:
            label = name.replace("_", " ").replace("roc auc", "ROC AUC").replace("f1", "F1")
            yield label, f"{interval.value:.4f}", f"[{interval.low:.4f}, {interval.high:.4f}]"
    yield "alert rate", f"{metrics.alert_rate:.4f}", ""


def render_check(report: ValidateRecord) -> str:
    """The text that ends `dagmm check`."""
    lines = [
        f"Rows       {report.rows_in:,} in, {report.rows_valid:,} valid, "
        f"{report.rows_quarantined:,} quarantined",
        f"Verdict    {'passed' if report.passed else 'FAILED'}",
    ]
    lines += [f"           {failure.severity}: {failure.message}" for failure in report.failures]
    for label, path in (
        ("Valid rows", report.path),
        ("Quarantine", report.quarantine),
        ("Data Docs", report.data_docs),
    ):
        if path:
            lines.append(f"{label:<10} {path}")
    return "\n".join(lines)


def render_history(name: str, decisions: Iterable[Decision], moved: str) -> str:
    """The table of `dagmm history`."""
    lines = [f"{'when (UTC)':<20} {'who':<12} {'version':>7} {'before':>7}  decision"]
    for decision in decisions:
        when = datetime.fromtimestamp(decision.time, UTC).strftime("%Y-%m-%d %H:%M:%S")
        state = "" if decision.complete else "  (interrupted; repeat the command to complete it)"
        lines.append(
            f"{when:<20} {decision.by:<12} {decision.version:>7} "
            f"{decision.previous or '-':>7}  {decision.decision}{state}"
        )
        lines += [f"{'':<51}{reason}" for reason in _telling(decision)]
    if len(lines) == 1:
        lines = [f"no decision on {name} yet"]
    else:
        lines += ["", "Every gate of every decision: --json, or MLflow's experiment `promotions`."]
    if moved:
        lines += ["", f"WARNING: {moved}"]
    return "\n".join(lines)


def _telling(decision: Decision) -> Iterable[str]:
    """What a reader of the history looks for; gates that merely passed are counted."""
    if not decision.gates:
        yield from decision.reasons.splitlines()
        return
    if decision.remark:
        yield decision.remark
    passed = [gate for gate in decision.gates if gate.verdict == "passed"]
    silent = [gate for gate in decision.gates if gate.verdict == "not measured"]
    yield from (g.sentence() for g in decision.gates if g.verdict in {"failed", "overridden"})
    yield from (g.sentence() for g in passed if g.gate in TOLD_WHEN_PASSED)
    yield f"{len(passed)} gates passed, {len(silent)} had nothing to measure"
