"""What a finished run says to MLflow and Prefect: metrics, and cards in Markdown."""

from collections import Counter
from collections.abc import Iterable, Mapping

from dagmm_model.evaluation.metrics import DeploymentMetrics, Interval
from data_checks.contract.model import Contract
from flows.common.config import TrainConfig
from flows.common.markdown import inert, items
from flows.stages.decision import Evidence, PromoteRecord
from flows.stages.records import ChoiceRecord, EvaluateRecord, ValidateRecord

QUALITY_GATES = ("ROC AUC floor", "recall floor")
LOSS_TERMS = ("reconstruction", "energy", "penalty")
IN_SHORT = ("roc_auc", "average_precision", "recall", "false_alarm_rate")


def metric_values(evaluated: EvaluateRecord) -> dict[str, float]:
    """What runs are compared by, under its MLflow names; `all_figures` has the rest.

    `deployed/` and `paper/` tell the protocols apart; `training/gain` is the average precision on
    the test rows less that of the same detector before training. Four digits, as tables show them.
    """
    values = {"deployed/alert_rate": evaluated.deployment.alert_rate}
    figures = evaluated.deployment.figures()
    values |= {f"deployed/{name}": interval.value for name, interval in figures.items()}
    if evaluated.known_ratio is not None:
        values["paper/f1"] = evaluated.known_ratio.f1
    if (gain := training_gain(evaluated)) is not None:
        values["training/gain"] = gain
    return {name: round(value, 4) for name, value in values.items()}


def training_gain(evaluated: EvaluateRecord, figure: str = "average_precision") -> float | None:
    """By how much training raised a figure; None where there is nothing to compare."""
    before = next((row for row in evaluated.sanity if row.name == "untrained"), None)
    after: Interval | None = getattr(evaluated.deployment, figure)
    return None if before is None or after is None else after.value - getattr(before, figure)


def effect_of_training(evaluated: EvaluateRecord) -> str:
    """What training changed on the test rows, in words; empty where nobody can tell."""
    gain, after = training_gain(evaluated), evaluated.deployment.average_precision
    if gain is None or after is None:
        return ""
    levels = "; ".join(f"{r.name}: {r.average_precision:.4f}" for r in evaluated.sanity)
    return f"average precision {after.value:.4f} after training, {gain:+.4f} ({levels})"


def all_figures(evaluated: EvaluateRecord) -> dict[str, object]:
    """Every figure of the test rows with its interval, and those that are set beside them."""
    return evaluated.model_dump(
        mode="json", include={"deployment", "known_ratio", "slices", "sanity"}
    )


def loss_weights(settings: Mapping[str, object]) -> dict[str, float]:
    """Weights of a DAGMM's losses in its objective; empty for what has no such losses."""
    weights = {term: settings.get(f"lambda_{term}") for term in LOSS_TERMS}
    return {term: value for term, value in weights.items() if isinstance(value, int | float)}


def choice_metrics(choice: ChoiceRecord) -> dict[str, float | None]:
    """Figures of the candidates by their MLflow names."""
    return {
        f"choice/{candidate.name}/{name}": getattr(candidate, name)
        for candidate in choice.candidates
        for name in ("average_precision", "roc_auc")
    }


def choice_table(choice: ChoiceRecord) -> list[dict[str, object]]:
    """Rows of the table of candidates, the best first."""
    ordered = sorted(choice.candidates, key=lambda c: -(c.average_precision or 0.0))
    return [
        {
            "detector": candidate.name,
            "average precision": candidate.average_precision,
            "ROC AUC": candidate.roc_auc,
            "seconds": round(candidate.seconds, 2),
            "failed": candidate.failed,
        }
        for candidate in ordered
    ]


def model_card(contract: Contract, config: TrainConfig, evidence: Evidence) -> str:
    """Markdown description of a model version, readable without our command."""
    parts, fitted, evaluated = evidence.split, evidence.fit, evidence.evaluate
    threshold = evidence.calibrate.threshold
    lines = [
        # MLflow's list of versions shows the first line only, and that as plain text.
        f"{_in_short(evaluated)} · {config.detector.name} on "
        f"{inert(contract.title or contract.name)}",
        "",
        f"Detector **{config.detector.name}**, preset **{config.detector.preset}**, "
        f"seed {config.seed}, {fitted.summary()}.",
        "",
        *([] if evidence.choice is None else [f"Chosen: {evidence.choice.summary()}.", ""]),
        f"Trained on {parts.train_rows:,} normal rows; threshold **{threshold.value:.4g}** from "
        f"{threshold.calibration_rows:,} rows ({threshold.method}); a row above it is an anomaly.",
        "",
        f"Guaranteed false-alarm rate: {threshold.guaranteed_rate:.3g} "
        f"(asked for {threshold.target_rate:.3g}). {threshold.note}".rstrip(),
        "",
        # One column: MLflow sets the cells of a table side by side without a gap.
        "| figure on the test rows | value [95 % interval] |",
        "|---|---|",
        *(
            f"| {name} | {value} {interval} |"
            for name, value, interval in figures(evaluated.deployment)
        ),
    ]
    if evaluated.deployment.not_reported:
        lines += ["", inert(evaluated.deployment.not_reported)]
    return "\n".join(lines)


def _in_short(evaluated: EvaluateRecord) -> str:
    """The figures that decide, in one line."""
    figures = evaluated.deployment.figures()
    shown = [name for name in IN_SHORT if name in figures]
    text = ", ".join(f"{figure_title(name)} {figures[name].value:.3f}" for name in shown)
    return text or f"alert rate {evaluated.deployment.alert_rate:.3f} (no labels)"


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


def decision_card(record: PromoteRecord, *, brief: bool = False) -> str:
    """Markdown of a promotion decision: what holds the version back first, then every gate.

    A `brief` one counts the gates that hold nothing back instead of naming them.
    """
    heading = "###" if brief else "#"
    lines = [f"{heading} {record.name} version {record.version}: {record.summary()}", ""]
    against = [gate.sentence() for gate in record.gates if gate.holds_back]
    others = [gate for gate in record.gates if not gate.holds_back]
    told = [*([record.remark] if record.remark else []), *against] if others else record.reasons
    lines += items(told)
    if counts := Counter(gate.word for gate in others):
        lines += ["", f"{', '.join(f'{n} {word}' for word, n in counts.items())}."]
    if record.hold == "holds":
        lines += ["", "Held: nothing is promoted until `dagmm promote … --release`."]
    if record.beside:
        lines += ["", f"{record.beside[0].upper()}{record.beside[1:]}."]
    if record.rehearsal:
        lines += ["", "Rehearsal: nothing was changed."]
    elif record.gates and not quality_measured(record):
        lines += ["", "Detection quality was not measured: only label-free gates decided."]
    if others and not brief:
        lines += ["", *items(gate.sentence() for gate in others)]
    return "\n".join(lines)


def quality_measured(record: PromoteRecord) -> bool:
    """Whether a gate that needs labels has measured something."""
    return any(gate.measured for gate in record.gates if gate.gate in QUALITY_GATES)


def figure_title(name: str) -> str:
    """Name of a figure for people."""
    return {"roc_auc": "ROC AUC", "f1": "F1"}.get(name, name.replace("_", " "))


def figures(metrics: DeploymentMetrics) -> Iterable[tuple[str, str, str]]:
    """Name, value and interval of each figure of some rows."""
    for name, interval in metrics.figures().items():
        yield figure_title(name), f"{interval.value:.4f}", interval.ends()
    yield "alert rate", f"{metrics.alert_rate:.4f}", ""
