"""A window of rows against what the production model was trained on.

Everything is compared at one level: the features, the energies and the alert rate share it, so
that a window without drift raises an alarm no more often than `MonitorPolicy.level`.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field, ValidationError

from dagmm_model.detectors.bundle import ScoringBundle
from dagmm_model.evaluation.metrics import binomial_interval
from dagmm_model.evaluation.threshold import alarms_expected, exceeds
from data_checks.contract.model import Contract
from data_checks.drift import (
    LEVEL,
    ColumnDrift,
    DriftReference,
    Verdict,
    compare_columns,
    holm_rejects,
    population_stability,
    severity,
)
from flows.common.assignments import dotted_keys, first_problem, parse_assignment
from flows.common.errors import UsageError
from flows.common.value_types import Parameters
from flows.drift.window import Window
from flows.promotion.gates.score_drift import energy_bins


class MonitorPolicy(Parameters):
    """When a window counts as drifted; the columns' tolerances are in the contract."""

    level: float = Field(LEVEL, gt=0, lt=1)
    """Chance of an alarm without any drift"""
    alert_factor: float = Field(1.5, ge=1)
    """How far the alert rate may be from the calibrated one, as a factor"""
    min_rows: int = Field(50, ge=1)
    """Fewer rows are reported, and not judged"""
    max_rejected_share: float | None = Field(None, ge=0, le=1)
    """Tolerated share of rejected rows; the contract's unless given"""
    max_model_age_days: float = Field(90.0, gt=0)
    """Age from which a model is reported"""
    max_data_age_hours: float | None = Field(None, gt=0)
    """Largest age of the newest row, by the contract's timestamp column"""


def policy_from(assignments: Sequence[str]) -> MonitorPolicy:
    """A policy with some values replaced, `key=value` each.

    Raises:
        UsageError: An assignment is malformed, or its key or value cannot be used.
    """
    try:
        return MonitorPolicy.model_validate(
            dict(parse_assignment(assignment, "level=0.001") for assignment in assignments)
        )
    except ValidationError as error:
        where, problem, _ = first_problem(error, lambda: dotted_keys(MonitorPolicy))
        raise UsageError(f"--set {where}: {problem}") from None


@dataclass(frozen=True)
class DriftFinding:
    """One comparison that is not of a column; `compared` is false where it could not be made."""

    name: str
    verdict: Verdict
    message: str
    compared: bool = True


@dataclass(frozen=True)
class DriftReport:
    """Verdict on a window.

    Attributes:
        model: Resolved version, ``models:/NAME/VERSION``.
        source: Where the window came from.
        time: Seconds since 1970.
        verdict: The worst finding; `too few rows` where nothing was judged.
        findings: Energies, alert rate, rejected rows, ages.
        columns: The furthest moved first; empty where only scores are known.
        figures: Everything measured, for the tracking server.
    """

    model: str
    source: str
    time: float
    verdict: Verdict | str
    findings: tuple[DriftFinding, ...]
    columns: tuple[ColumnDrift, ...]
    figures: dict[str, float]

    @property
    def drifted(self) -> bool:
        """Whether anything is not as it should be."""
        return self.verdict in ("warning", "critical")

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is not stable, in words."""
        messages = [each.message for each in self.findings if each.verdict != "stable"]
        return (*messages, *(c.message for c in self.columns if c.verdict != "stable"))


def judge_window(
    window: Window,
    bundle: ScoringBundle,
    contract: Contract,
    reference: DriftReference | None,
    policy: MonitorPolicy,
    model: str,
    created: float,
) -> DriftReport:
    """Compare a window with the training reference.

    Args:
        window: What was seen.
        bundle: The model; its calibration energies are those of held-out normal rows.
        contract: Its `drift` tolerances decide what matters.
        reference: The training profile; None where only scores are known.
        policy: Level and tolerances of everything else.
        model: Resolved version.
        created: When the version was registered, seconds since 1970.
    """
    from scipy.stats import ks_2samp

    now, rows = time.time(), len(window.energies)
    total = rows + window.rejected
    figures: dict[str, float] = {
        "rows": float(rows),
        "compared": float(rows >= policy.min_rows),
        "rejected_share": window.rejected / max(total, 1),
        "model_age_days": (now - created) / 86_400,
    }
    if window.newest is not None:
        figures["data_age_hours"] = (now - window.newest) / 3600
    findings = list(_simple_findings(figures, contract, policy))
    if rows < policy.min_rows:
        worst = _worst([each.verdict for each in findings])
        worst = "too few rows" if worst == "stable" else worst
        told = f"{rows:,} scored rows, {policy.min_rows:,} needed: not compared"
        note = DriftFinding("rows", "stable", told, compared=False)
        return DriftReport(model, window.source, now, worst, (note, *findings), (), figures)
    # The exact p-value of large samples takes minutes and is the same.
    distance = ks_2samp(window.energies, bundle.calibration, method="asymp")
    alerts = int(exceeds(window.energies, bundle.threshold.value).sum())
    interval = binomial_interval(alerts, rows, 1 - policy.level)
    expected = bundle.threshold.guaranteed_rate
    alarm_p = alert_p_value(alerts, rows, bundle.calibration, bundle.threshold.value)
    others = [float(distance.pvalue), alarm_p]
    p_values = list(others)
    columns: tuple[ColumnDrift, ...] = ()
    if reference is not None and window.counts is not None:
        columns = compare_columns(
            reference, window.counts, contract, level=policy.level, others=others
        )
        p_values += [column.p_value for column in columns]
    real = holm_rejects(p_values, policy.level)
    psi = population_stability(*energy_bins(bundle.calibration, window.energies))
    figures |= {
        "energy/psi": psi,
        "energy/ks": float(distance.statistic),
        "energy/p": float(distance.pvalue),
        "energy/median": float(np.median(window.energies)),
        "alerts/rate": alerts / rows,
        "alerts/low": interval.low,
        "alerts/high": interval.high,
        "alerts/calibrated": expected,
        "alerts/p": alarm_p,
    }
    findings += [
        DriftFinding(
            "energies",
            severity(psi, contract.drift) if real[0] else "stable",
            f"energies: PSI {psi:.3f} (tolerated {contract.drift.warning:g}), Kolmogorov-Smirnov "
            f"distance {distance.statistic:.3f}, p = {distance.pvalue:.2g}",
        ),
        DriftFinding(
            "alert rate",
            _alert_verdict(alerts / rows, expected, policy) if real[1] else "stable",
            f"alert rate {alerts / rows:.2%} (exact {100 * (1 - policy.level):g}% interval "
            f"{interval.low:.2%} to {interval.high:.2%}), calibrated {expected:.2%}, tolerated "
            f"factor {policy.alert_factor:g}, p = {alarm_p:.2g}",
        ),
    ]
    for column in columns:
        figures[f"psi/{column.column}"] = column.psi
    if columns:
        figures |= {
            "unseen_share": max(column.unseen_share for column in columns),
            "missing_share": max(column.missing_share for column in columns),
        }
    verdicts = [each.verdict for each in (*findings, *columns)]
    figures["drifted_columns"] = float(sum(c.verdict != "stable" for c in columns))
    figures["drifted"] = float(_worst(verdicts) != "stable")
    return DriftReport(
        model, window.source, now, _worst(verdicts), tuple(findings), columns, figures
    )


def _simple_findings(
    figures: Mapping[str, float], contract: Contract, policy: MonitorPolicy
) -> Iterator[DriftFinding]:
    """What needs no test: limits that are given."""
    share, age = figures["rejected_share"], figures["model_age_days"]
    limit = policy.max_rejected_share
    limit = contract.max_quarantine_share if limit is None else limit
    yield DriftFinding(
        "rejected rows",
        "critical" if share > limit else "stable",
        f"{share:.2%} of the rows cannot be scored (tolerated {limit:.2%})",
    )
    yield DriftFinding(
        "model age",
        "warning" if age > policy.max_model_age_days else "stable",
        f"the model is {age:.1f} days old (tolerated {policy.max_model_age_days:g})",
    )
    if "data_age_hours" in figures and policy.max_data_age_hours is not None:
        hours = figures["data_age_hours"]
        yield DriftFinding(
            "freshness",
            "critical" if hours > policy.max_data_age_hours else "stable",
            f"the newest row is {hours:.1f} hours old (tolerated {policy.max_data_age_hours:g})",
        )


def alert_p_value(alerts: int, rows: int, calibration: np.ndarray, threshold: float) -> float:
    """Two-sided p-value of a number of alerts, the threshold's own uncertainty included."""
    expected = alarms_expected(rows, calibration, threshold)
    tail = min(float(expected.cdf(alerts)), float(expected.sf(alerts - 1)))
    return min(1.0, 2 * tail)


def _alert_verdict(rate: float, expected: float, policy: MonitorPolicy) -> Verdict:
    if expected / policy.alert_factor <= rate <= expected * policy.alert_factor:
        return "stable"
    return "critical" if rate > expected else "warning"


def _worst(verdicts: list[Verdict]) -> Verdict:
    return next((v for v in ("critical", "warning") if v in verdicts), "stable")  # type: ignore[return-value]
