"""The page that ends a command, on the terminal: a training, a decision, a check, a history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.text import Text

from dagmm_model.evaluation.metrics import DeploymentMetrics
from flows.common.gate_results import SWITCHES
from flows.common.readable import plural
from flows.reporting.summary import choice_table, figures, quality_measured, training_gain
from flows.reporting.terminal import Entry, as_sheet, gates, grid, sheet, styled
from flows.stages.decision import PromoteRecord, TrainResult
from flows.stages.records import EvaluateRecord, ValidateRecord

if TYPE_CHECKING:
    from flows.promotion.audit import Decision


SIMPLE_DETECTORS = "not beaten by simple detectors"


def training(result: TrainResult, contract: str, *, verbose: bool = False) -> RenderableType:
    """The page that ends `dagmm train CONTRACT`."""
    return Group(f"dagmm train {result.dataset}", "", sheet(_training(result, contract, verbose)))


def _training(result: TrainResult, contract: str, verbose: bool) -> Iterator[Entry]:
    evidence = result.evidence
    checked, parts, fitted = evidence.validation, evidence.split, evidence.fit
    threshold, evaluated = evidence.calibrate.threshold, evidence.evaluate
    yield (
        "Data",
        f"{checked.rows_in:,} rows in, {checked.rows_valid:,} valid, "
        f"{checked.rows_quarantined:,} quarantined",
    )
    if evidence.verdicts is not None and evidence.verdicts.verdicts_sha256:
        yield "Verdicts", evidence.verdicts.summary()
    anomalies = "" if parts.test_anomalies is None else f" ({parts.test_anomalies:,} anomalies)"
    yield (
        "Split",
        f"{parts.protocol} protocol, seed {parts.seed}: {parts.summary()}{anomalies}",
    )
    if (choice := evidence.choice) is not None:
        yield "Choice", choice.summary()
        for row in choice_table(choice):
            figures_of = (
                f"average precision {row['average precision']:.4f}, ROC AUC {row['ROC AUC']:.4f}"
                if not row["failed"]
                else f"failed: {row['failed']}"
            )
            yield "", f"{row['detector']}: {figures_of}"
    terms = [k for k in fitted.last_epoch if "/" not in k and not k.startswith("validation_")]
    changed = ", ".join(f"{k} {fitted.change(k)}" for k in terms)
    yield (
        "Training",
        f"{plural(fitted.epochs, 'epoch') if fitted.epochs else 'fitted'} on {fitted.where} in "
        f"{fitted.seconds:.1f} s" + (f"; first epoch to last: {changed}" if changed else ""),
    )
    yield "Threshold", f"{threshold.value:.6g}, {threshold.method}"
    if evidence.calibrate.deployable:
        yield (
            "",
            f"false-alarm rate at most {threshold.guaranteed_rate:.3g} in expectation (asked for "
            f"{threshold.target_rate:.3g}; {threshold.calibration_rows:,} rows)",
        )
    if threshold.note:
        yield "", threshold.note
    yield "", ""
    how = "as deployed" if evidence.calibrate.deployable else "threshold by the test rows' labels"
    yield "Test rows", figures_table(evaluated.deployment, how)
    if evaluated.deployment.not_reported:
        yield "", evaluated.deployment.not_reported
    if evaluated.known_ratio is not None:
        paper = evaluated.known_ratio
        yield (
            "",
            "paper protocol's threshold (uses the test rows' known anomaly ratio): precision "
            f"{paper.precision:.4f}, recall {paper.recall:.4f}, F1 {paper.f1:.4f}",
        )
    for sanity in evaluated.sanity:
        yield (
            "",
            f"for comparison, {sanity.name}: F1 {sanity.f1:.4f}, ROC AUC {sanity.roc_auc:.4f}, "
            f"average precision {sanity.average_precision:.4f}",
        )
    yield from training_effect(evaluated)
    yield "", ""
    registered, promotion = result.registration, result.promotion
    yield "Registry", f"{registered.name} version {registered.version}"
    yield "Promotion", styled(promotion.decision)
    if promotion.remark:
        yield "", promotion.remark
    if promotion.gates:
        yield "", gates(promotion.gates, verbose=verbose)
    yield "", ""
    yield "MLflow", f"run {registered.run_id}"
    if result.report:
        yield "Report", result.report
    for command in next_commands(promotion, result.run_url, contract):
        yield "Next", command


def figures_table(metrics: DeploymentMetrics, how: str = "") -> RenderableType:
    """A line for each figure of some rows, under a head that says `how` they were measured."""
    table = grid("left", "right", "left")
    table.add_row(how, "", "95 % interval")
    for row in figures(metrics):
        table.add_row(*row)
    return table


def training_effect(evaluated: EvaluateRecord) -> Iterator[Entry]:
    """By how much the trained detector is ahead of itself untrained, where there are labels."""
    gains = [training_gain(evaluated, figure) for figure in ("roc_auc", "average_precision")]
    if None not in gains:
        yield "", "what training changed: ROC AUC {:+.4f}, average precision {:+.4f}".format(*gains)


def next_commands(
    record: PromoteRecord, page: str = "", contract: str = "CONTRACT"
) -> Iterator[str]:
    """What to type now, given what was decided."""
    target = f"{record.name} {record.version}"
    if record.decision == "pending approval":
        yield f"dagmm promote {target} --approved-by YOU --reason WHY"
    elif record.decision == "pending shadow":
        yield f"dagmm api {record.name} --shadow {record.version}    # let it see live rows"
        yield f"dagmm promote {target}"
    elif record.decision == "held":
        yield f"dagmm promote {target} --release --reason WHY"
    elif record.decision in {"rejected", "returned"}:
        if any(gate.gate == SIMPLE_DETECTORS and gate.holds_back for gate in record.gates):
            yield f"dagmm train {contract} --detector auto    # the best on other labelled rows"
        yield f"dagmm promote {target} --rehearse --verbose    # every gate, with its figures"
    elif record.decision == "promoted":
        yield f"dagmm score ROWS.csv SCORED.csv --model models:/{record.name}@production"
    if page:
        yield f"dagmm ui    # then open {page}"


@as_sheet
def decision(record: PromoteRecord, *, verbose: bool = False) -> Iterator[Entry]:
    """The page that ends `dagmm promote` and `dagmm rollback`."""
    yield "Model", f"{record.name} version {record.version}"
    word = styled(record.decision)
    yield "Decision", Text.assemble("would be ", word) if record.rehearsal else word
    if record.gates:
        if record.remark:
            yield "", record.remark
        yield "", gates(record.gates, verbose=verbose)
    else:
        yield from (("", reason) for reason in record.reasons)
    if record.hold == "holds" and record.decision == "rolled back":
        yield "", f"held: no promotion until `dagmm promote {record.name} VERSION --release`"
    if record.previous is not None:
        yield "", f"in production {'before' if record.replaced else 'now'}: v{record.previous}"
    if record.rehearsal:
        yield "", "rehearsal: nothing was changed"
        return
    if record.gates and not quality_measured(record):
        yield "", "detection quality was not measured: only label-free gates decided"
    for command in next_commands(record):
        yield "Next", command


@as_sheet
def check(report: ValidateRecord, asked: str) -> Iterator[Entry]:
    """The page that ends `dagmm check` of what was `asked` for."""
    yield (
        "Rows",
        f"{report.rows_in:,} in, {report.rows_valid:,} valid, "
        f"{report.rows_quarantined:,} quarantined",
    )
    yield "Verdict", Text("passed", "green") if report.passed else Text("FAILED", "bold red")
    for failure in report.failures:
        yield "", f"{failure.severity}: {failure.message}"
    for label, path in (
        ("Valid rows", report.path),
        ("Quarantine", report.quarantine),
        ("Data Docs", report.data_docs),
    ):
        if path:
            yield label, path
    if report.passed:
        yield "Next", f"dagmm train {asked}"


def history_page(
    name: str, decisions: Iterable[Decision], now: int | None, moved: str, held: str = ""
) -> RenderableType:
    """The page of `dagmm history`: a decision a row, what it rests on under it.

    `moved` says what is wrong where `production` was moved outside the commands, and `held` who
    holds the model; both may be empty.
    """
    decisions = tuple(decisions)
    if not decisions:
        return f"no decision on {name} yet" + (f"\nWARNING: {moved}" if moved else "")
    longest = max(cell_len(made.by) for made in decisions)

    def row(who: str, version: str, before: str) -> str:
        return f"{set_cell_size(who, longest)}  {version:>7}  {before:>6}  "

    table = grid("left", "left", gap=2)
    head = row("who", "version", "before") + "decision"
    table.add_row(Text("when (UTC)", "bold"), Text(head, "bold"))
    for made in decisions:
        state = "" if made.complete else " (interrupted; repeat the command to complete it)"
        before = "-" if made.previous is None else f"v{made.previous}"
        line = row(made.by, f"v{made.version}", before)
        grounds = (Text(text, "dim") for text in _grounds(made))
        told = Group(Text.assemble(line, styled(made.decision), state), *grounds)
        table.add_row(_when(made.time), told)
    return Group(table, "", *_now(decisions, now, moved, held))


def _grounds(made: Decision) -> Iterator[str]:
    """What a reader of the history looks for; gates that merely passed are counted."""
    if not made.gates:
        yield from made.reasons.splitlines()
        return
    if made.remark:
        yield made.remark
    passed = sum(gate.verdict == "passed" for gate in made.gates)
    silent = sum(gate.verdict == "not measured" for gate in made.gates)
    for gate in made.gates:
        by_people = gate.gate in {"approval", "no hold"} and gate.measured
        if by_people or gate.verdict in {"failed", "overridden"}:
            yield gate.sentence()
    yield f"{plural(passed, 'gate')} passed, {silent} had nothing to measure"


def _now(
    decisions: tuple[Decision, ...], now: int | None, moved: str, held: str
) -> Iterator[RenderableType]:
    yield "Every gate of every decision: --json, or MLflow's experiment `promotions`."
    made = [d for d in decisions if d.decision in SWITCHES and d.version == now]
    if held:
        yield Text(f"HELD: {held}", "bold yellow")
        yield "      promotions wait for `dagmm promote … --release`"
    if moved:
        yield Text(f"WARNING: {moved}", "bold yellow")
    elif made:
        yield Text.assemble(
            "production now: ",
            (f"v{now}", "bold green"),
            f" since {_when(made[-1].time)}",
        )
    else:
        yield "production now: no version"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
