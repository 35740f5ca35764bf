"""What a candidate must show before promotion. All gates are judged, all are reported.

A gate that had nothing to measure (no labels, no production model) passes and says so; a figure
that is missing or not finite where it should be there fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dagmm_model.evaluation.comparison import Difference, paired_difference
from dagmm_model.evaluation.metrics import DeploymentMetrics, deployment_metrics
from dagmm_model.evaluation.threshold import alarms_expected, exceeds
from flows.common.policy import PromotionPolicy
from flows.common.records import GateResult
from flows.promotion.score_drift import compare_scores

SAME_ENERGY = 1e-6
"""Relative difference up to which two energies of one row are the same."""
ODDS_OF_CHANCE = 0.001
"""A false-alarm rate so far off the calibrated one that chance explains it less often than this."""


@dataclass(frozen=True)
class Health:
    """State of the mixtures in the model's files, over all members of an ensemble."""

    min_phi: float
    max_condition: float
    effective_components: float


@dataclass(frozen=True)
class Case:
    """Everything that the gates judge; arrays are of the evaluation rows, ``(rows,)``.

    Attributes:
        policy: Floors and margins.
        evidence: The sealed evidence.
        frame: Raw feature columns.
        labels: True for anomalous rows; None when the rows are unlabelled.
        slices: Slice value of each row, or None.
        recorded: Energies recorded at training.
        candidate: Energies of the candidate, scored now.
        production: Energies of the production model, scored now; None without one.
        production_error: Why the production model could not be scored, or an empty string.
        baselines: Energies of the simple detectors by name.
        baseline_rows: Positions of the rows that the simple detectors scored, int64.
        threshold: The candidate's threshold.
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
    health: Health | None

    @property
    def measurable(self) -> bool:
        """Whether both classes are labelled."""
        return self.labels is not None and 0 < int(self.labels.sum()) < len(self.labels)


UNMEASURED = "quality not measured: no labelled anomalies and normal rows to compare on"


def judge(case: Case) -> tuple[GateResult, ...]:
    """Judge every gate that needs the model's energies.

    A gate that cannot be computed fails with the reason; the others are still judged.
    """
    return tuple(result for gate in GATES for result in _guarded(gate, case))


def compare(case: Case) -> tuple[GateResult, ...]:
    """Judge only what depends on the production model, after it changed."""
    return (*_guarded(_against_production, case), *_guarded(_score_drift, case))


def result(name: str, passed: bool, message: str, *, measured: bool = True) -> GateResult:
    """A verdict."""
    return GateResult(gate=name, passed=passed, measured=measured, message=message)


def _guarded(gate: Callable[[Case], Iterator[GateResult]], case: Case) -> list[GateResult]:
    name = gate.__name__.strip("_").replace("_", " ")
    try:
        return list(gate(case))
    except (ValueError, KeyError, TypeError) as error:
        return [result(name, False, f"cannot be judged: {type(error).__name__}: {error}")]


def _data_verdict(case: Case) -> Iterator[GateResult]:
    # Bad rows were quarantined; whether too many were is part of the verdict of the data checks.
    found = case.evidence["validation"]
    yield result(
        "data verdict",
        found["passed"] is True,
        f"{found['rows_valid']:,} valid rows of {found['rows_in']:,}"
        + ("" if found["passed"] is True else f"; checks failed: {found['message']}"),
    )


def _recorded_figures(case: Case) -> Iterator[GateResult]:
    bad = sorted(_not_finite(case.evidence["evaluate"]))
    yield result(
        "recorded figures",
        not bad,
        f"not a finite number: {', '.join(bad)}" if bad else "every recorded figure is finite",
    )


def _not_finite(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _not_finite(part, f"{name}.{key}".strip("."))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _not_finite(part, f"{name}[{number}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield name


def _threshold(case: Case) -> Iterator[GateResult]:
    name = "deployable threshold"
    if not case.evidence["calibrate"]["deployable"]:
        protocol = case.evidence["split"]["protocol"]
        yield result(
            name,
            False,
            f"the {protocol} protocol set the threshold with test labels; "
            "train with split.protocol=deployment to get a model for production",
        )
        return
    low, high = float(case.calibration[0]), float(case.calibration[-1])
    yield result(
        name,
        low <= case.threshold <= high,  # False for NaN
        f"threshold {case.threshold:.4g}, validation energies {low:.4g} to {high:.4g}",
    )


def _mixture_health(case: Case) -> Iterator[GateResult]:
    name, health, policy = "mixture health", case.health, case.policy
    if health is None:
        kind = case.evidence["config"]["detector"]["name"]
        yield result(name, True, f"not applicable: {kind} has no mixture", measured=False)
        return
    yield result(
        name,
        0 <= health.min_phi <= 1
        and health.max_condition <= policy.max_condition
        and health.effective_components >= policy.min_effective_components - 1e-9,
        f"smallest phi {health.min_phi:.2g}, {health.effective_components:.2f} effective "
        f"components (at least {policy.min_effective_components:g}), largest condition number "
        f"{health.max_condition:.2g} (at most {policy.max_condition:.0e})",
    )


def _reproduces_its_energies(case: Case) -> Iterator[GateResult]:
    name = "reproduces its energies"
    if not np.isfinite(case.candidate).all():
        yield result(name, False, "the candidate gives non-finite energies")
        return
    worst = largest_difference(case.candidate, case.recorded)
    yield result(
        name,
        worst <= SAME_ENERGY,
        f"largest difference from the energies recorded at training: {worst:.1e}",
    )


def largest_difference(energies: np.ndarray, recorded: np.ndarray) -> float:
    """Largest difference relative to the recorded energy (absolute below 1); NaN stays NaN."""
    return float((np.abs(energies - recorded) / np.maximum(1.0, np.abs(recorded))).max())


def _floors(case: Case) -> Iterator[GateResult]:
    policy, names = case.policy, ("ROC AUC floor", "recall floor")
    anomalies = 0 if case.labels is None else int(case.labels.sum())
    normals = 0 if case.labels is None else len(case.labels) - anomalies
    if anomalies < policy.min_anomalies or normals < policy.min_normals:
        why = "no labels" if case.labels is None else f"{anomalies} anomalies, {normals} normals"
        needed = f"{policy.min_anomalies} and {policy.min_normals} needed"
        for name in names:
            yield result(name, True, f"quality not measured: {why} ({needed})", measured=False)
        return
    # Of the energies of today, not those written down.
    now: DeploymentMetrics = deployment_metrics(case.labels, case.candidate, case.threshold)
    for name, found, floor in (
        (names[0], now.roc_auc, policy.min_roc_auc),
        (names[1], now.recall, policy.min_recall),
    ):
        assert found is not None
        yield result(
            name,
            math.isfinite(found.value) and found.value >= floor,
            f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}], floor {floor:.3f}, "
            f"{anomalies:,} anomalies and {normals:,} normal rows",
        )


def _false_alarm_rate(case: Case) -> Iterator[GateResult]:
    name = "false-alarm rate"
    if case.labels is None or case.labels.all():
        alerts = float(exceeds(case.candidate, case.threshold).mean())
        yield result(
            name, True, f"not measured without labels; alert rate {alerts:.3f}", measured=False
        )
        return
    normal = case.candidate[~case.labels]
    alarms, rows = int(exceeds(normal, case.threshold).sum()), len(normal)
    expected = alarms_expected(rows, case.calibration, case.threshold)
    low, high = int(expected.ppf(ODDS_OF_CHANCE / 2)), int(expected.isf(ODDS_OF_CHANCE / 2))
    yield result(
        name,
        low <= alarms <= high,
        f"{alarms} of {rows:,} normal rows flagged ({alarms / rows:.3f}); calibrated band "
        f"{low / rows:.3f} to {high / rows:.3f}",
    )


def _against_production(case: Case) -> Iterator[GateResult]:
    name, policy = "not worse than production", case.policy
    if case.production_error:
        yield result(name, False, f"production cannot be scored: {case.production_error}")
        return
    if case.production is None:
        yield result(name, True, "no production model yet", measured=False)
        return
    if not case.measurable:
        yield result(name, True, UNMEASURED, measured=False)
        return
    everything = np.ones(len(case.candidate), dtype=bool)
    yield _non_inferior(case, name, everything, policy.margin)
    for value in policy.required_slices:
        title = f"{name}: {value}"
        if case.slices is None:
            yield result(title, False, "the evaluation rows have no slice column")
            continue
        assert case.labels is not None
        rows = ~case.labels | (case.slices == value)
        found = int((case.labels & rows).sum())
        if found < policy.min_anomalies:
            yield result(
                title, False, f"{found} anomalies of that slice, {policy.min_anomalies} needed"
            )
        else:
            yield _non_inferior(case, title, rows, policy.margin)


def _score_drift(case: Case) -> Iterator[GateResult]:
    """For information: how differently the two models see the same rows."""
    name = "score drift"
    if case.production is None:
        yield result(name, True, "no production model to compare with", measured=False)
        return
    found = compare_scores(case.candidate, case.production)
    yield result(
        name,
        True,
        f"for information: against production on the same rows, energies PSI {found.psi:.3f}, "
        f"Kolmogorov-Smirnov distance {found.distance:.3f}, rank correlation {found.ranks:.3f}",
    )


def _non_inferior(case: Case, name: str, rows: np.ndarray, margin: float) -> GateResult:
    assert case.labels is not None
    assert case.production is not None
    found = paired_difference(case.labels[rows], case.candidate[rows], case.production[rows])
    return result(
        name,
        found.interval.low >= -margin,
        f"average precision {found.first:.4f} against {found.second:.4f}, {_said(found)}; the "
        f"interval has to lie above {-margin:+.3f}",
    )


def _simple_detectors(case: Case) -> Iterator[GateResult]:
    name, margin = "not beaten by simple detectors", case.policy.simple_margin
    if not case.measurable:
        yield result(name, True, UNMEASURED, measured=False)
        return
    if not case.baselines:
        yield result(name, False, "the evidence carries no energies of simple detectors")
        return
    assert case.labels is not None
    labels, ours = case.labels[case.baseline_rows], case.candidate[case.baseline_rows]
    beaten: dict[str, float] = {}
    said, mine, best = [], math.nan, 0.0
    for baseline, energies in case.baselines.items():
        found = paired_difference(labels, ours, energies, level=0.95)
        said.append(f"{baseline} {found.second:.4f} ({_said(found)})")
        if found.interval.high < -margin:
            beaten[baseline] = found.second
        mine, best = found.first, max(best, found.second)
    verdict = ""
    if beaten:
        strongest = max(beaten, key=beaten.__getitem__)
        verdict = f"beaten by {', '.join(beaten)} (train it with --detector {strongest}); "
    yield result(
        name,
        not beaten,
        f"{verdict}average precision {mine:.4f}, best simple {best:.4f}; " + "; ".join(said),
    )


def _said(found: Difference) -> str:
    interval = found.interval
    return (
        f"difference {interval.value:+.4f}, {found.level:.0%} interval "
        f"[{interval.low:+.4f}, {interval.high:+.4f}] on {found.rows:,} rows"
    )


GATES: tuple[Callable[[Case], Iterator[GateResult]], ...] = (
    _data_verdict,
    _recorded_figures,
    _threshold,
    _mixture_health,
    _reproduces_its_energies,
    _floors,
    _false_alarm_rate,
    _against_production,
    _score_drift,
    _simple_detectors,
)
