"""The page of a version and of the decision on it: one file, of what is kept of the version."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dagmm_model.evaluation.metrics import Interval
from data_checks.contract.model import ROW_ID, Contract
from flows.common.features import as_columns
from flows.common.moments import minute
from flows.promotion.version.stored_version import StoredVersion
from flows.reporting import html
from flows.reporting.summary import effect_of_training, figures, loss_weights
from flows.stages.decision import Evidence, PromoteRecord
from flows.tracking import seal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dagmm_model.detectors.bundle import ScoringBundle

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
    title = f"{record.name} version {record.version}: {record.summary()}"
    return html.document(title, _page(stored, record, pictures))


def _page(
    stored: StoredVersion, record: PromoteRecord, pictures: Mapping[str, bytes]
) -> Iterator[str]:
    yield f"<h1>{html.text(record.name)} version {record.version}</h1>"
    made = minute(time.time())
    if stored.problems():
        yield html.quiet(f"{made} · its files are not those of its evidence and were not opened")
        yield from _decision(record)
        return
    evidence = Evidence.model_validate(stored.evidence)
    contract = stored.contract
    config = stored.evidence["config"]
    yield html.quiet(
        f"{made} · {contract.title or contract.name} · {config['detector']['name']}, preset "
        f"{config['detector']['preset']}, seed {config['seed']} · trained on "
        f"{evidence.split.train_rows:,} normal rows"
    )
    yield from _decision(record)
    yield from _figures(evidence)
    if record.gates:  # a way back is in a hurry; its figures are on the page of the promotion
        yield from _drawn(stored, evidence, contract, pictures)
    yield from _origin(stored, evidence)


def _drawn(
    stored: StoredVersion, evidence: Evidence, contract: Contract, pictures: Mapping[str, bytes]
) -> Iterator[str]:
    """What takes seconds: figures, and the explanations of single rows."""
    from dagmm_model.detectors.bundle import load_bundle

    bundle = load_bundle(stored.model / seal.BUNDLE)
    yield from _energies(stored, bundle, pictures)
    yield from _slices(evidence)
    yield from _explanations(stored, bundle, contract)
    if bundle.detector.history_:
        yield html.heading("Losses")
        losses = pictures.get("losses") or _losses(bundle, evidence)
        yield html.image(losses, "losses by epoch")


def _losses(bundle: ScoringBundle, evidence: Evidence) -> Figure:
    from flows.reporting import plots

    effect = effect_of_training(evidence.evaluate)
    weights = loss_weights(evidence.fit.settings)
    return plots.loss_curves(bundle.detector.history_, weights, effect)


def _decision(record: PromoteRecord) -> Iterator[str]:
    # The figure that decided; the table has them all.
    against = [f"{gate.title}: {gate.in_short}" for gate in record.gates if gate.holds_back]
    forced = [f"{g.title}: overridden by {g.overridden}" for g in record.gates if g.overridden]
    lines = [line for line in (record.remark, *against, *forced, record.beside) if line]
    yield html.banner(TONES.get(record.decision, ""), record.summary().capitalize(), lines)
    if not record.gates:
        yield "".join(html.quiet(reason) for reason in record.reasons)
        return
    yield html.heading("Gates")
    yield html.table(
        ("Verdict", "Gate", "Found"),
        [
            (
                html.Raw(html.mark(TONES.get(gate.word, ""), gate.word)),
                gate.title,
                f"{gate.message}{f' (overridden by {gate.overridden})' if gate.overridden else ''}",
            )
            for gate in record.gates
        ],
    )


def _figures(evidence: Evidence) -> Iterator[str]:
    threshold, deployed = evidence.calibrate.threshold, evidence.evaluate.deployment
    yield html.heading("Test rows, at the threshold as deployed")
    yield html.table(("", "value", "95 % interval"), list(figures(evidence.evaluate)), (1, 2))
    counted = f"{deployed.rows:,} test rows"
    if deployed.anomalies is not None:
        counted += f", {deployed.anomalies:,} of them anomalies"
    yield html.quiet(
        f"{counted}. Threshold {threshold.value:.6g} ({threshold.method}); false-alarm rate at "
        f"most {threshold.guaranteed_rate:.3g} in expectation, asked for "
        f"{threshold.target_rate:.3g}, by {threshold.calibration_rows:,} rows. {threshold.note}"
    )
    if deployed.not_reported:
        yield html.quiet(deployed.not_reported)


def _energies(
    stored: StoredVersion, bundle: ScoringBundle, pictures: Mapping[str, bytes]
) -> Iterator[str]:
    from dagmm_model.evaluation.what_if import what_if
    from flows.reporting import plots

    energies, labels, _ = stored.recorded()
    yield html.heading("Energies")
    drawn = pictures or plots.at_threshold(energies, labels, bundle.threshold.value)
    for name in plots.AT_THRESHOLD:
        if name in drawn:
            yield html.image(drawn[name], name.replace("_", " "))
    if not stored.evidence["calibrate"]["deployable"]:
        return
    current = bundle.threshold.target_rate
    lines = what_if(bundle.calibration, energies, labels, also=[current])
    yield html.heading("What another alert budget would do")
    guaranteed = bundle.threshold.guaranteed_rate
    curves = pictures.get("what_if") or plots.what_if_curves(lines, guaranteed)
    yield html.image(curves, "recall and precision by false-alarm rate")
    rows = [
        (
            f"{line.rate:.3g}{' (in use)' if line.rate == current else ''}",
            f"{line.threshold:.5g}",
            f"{line.alarms.value:.1f} [{line.alarms.low:.0f}, {line.alarms.high:.0f}]",
            *(_share(each) for each in (line.alert_rate, line.recall, line.precision)),
        )
        for line in lines
    ]
    headers = (
        *("False-alarm rate", "Threshold", f"False alarms of {lines[0].rows:,} normal rows"),
        *("Alert rate", "Recall", "Precision"),
    )
    yield html.table(headers, rows, range(6))
    yield html.quiet(
        f"With 95 % intervals. dagmm threshold {stored.version.name} --false-alarm-rate RATE "
        "changes it, without data or training."
    )


def _share(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    return interval.text(3)


def _slices(evidence: Evidence) -> Iterator[str]:
    slices = evidence.evaluate.slices
    if not slices:
        return
    yield html.heading("Slices")
    rows = [
        (
            each.value,
            f"{each.rows:,}",
            f"{each.anomalies:,}",
            _share(each.flagged_rate),
            _share(each.recall),
            _share(each.false_alarm_rate),
        )
        for each in slices[:SLICES]
    ]
    heads = ("Slice", "Rows", "Anomalies", "Flagged", "Recall", "False alarm rate")
    yield html.table(heads, rows, (1, 2, 3, 4, 5))
    if len(slices) > SLICES:
        yield html.quiet(f"and {len(slices) - SLICES:,} smaller ones")


def _explanations(
    stored: StoredVersion, bundle: ScoringBundle, contract: Contract
) -> Iterator[str]:
    from flows.scoring.rows import reasons_text

    energies, labels, _ = stored.recorded()
    worst = np.argsort(-energies, kind="stable")[:EXPLAINED]
    table = stored.rows.take(worst)
    features = table.select([column.name for column in contract.feature_columns])
    scores = bundle.score(as_columns(features), "all")
    reasons, _ = reasons_text(scores.reasons, 3, len(worst))
    yield html.heading("The test rows with the largest energies, and why")
    known = ["" if labels is None else "anomaly" if labels[row] else "normal" for row in worst]
    yield html.table(
        ("Row", "is", "Energy", "p-value", "Reasons"),
        [
            (row, label, f"{energy:.4g}", f"{p:.4f}", reason or "–")
            for row, label, energy, p, reason in zip(
                table.column(ROW_ID).to_pylist(),
                known,
                scores.energy,
                scores.p_value,
                reasons.to_pylist(),
                strict=True,
            )
        ],
        (0, 2, 3),
    )
    if not bundle.explains:
        yield html.quiet("This detector gives no reasons.")


def _origin(stored: StoredVersion, evidence: Evidence) -> Iterator[str]:
    document: dict[str, Any] = stored.evidence
    checked, parts = evidence.validation, evidence.split
    yield html.heading("Where it comes from")
    source = document.get("threshold_of")
    rows = [
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
    yield html.table((), rows)
