"""Does the version find anomalies, and does it alarm as often as it was calibrated to?"""

import math

from dagmm_model.evaluation.metrics import deployment_metrics
from dagmm_model.evaluation.threshold import alarms_expected, exceeds
from flows.common.gate_results import figure
from flows.promotion.gates.case import Case
from flows.promotion.gates.gate import GateFinding, unmeasured

ODDS_OF_CHANCE = 0.001
"""A false-alarm rate so far off the calibrated one that chance explains it less often than this."""


def roc_auc_floor(case: Case) -> GateFinding:
    """At least `promotion.min_roc_auc` on the test rows."""
    return _floor(case, "ROC AUC", "roc_auc", case.policy.min_roc_auc)


def recall_floor(case: Case) -> GateFinding:
    """At least `promotion.min_recall` at the calibrated threshold."""
    return _floor(case, "recall", "recall", case.policy.min_recall)


def _floor(case: Case, title: str, metric: str, floor: float) -> GateFinding:
    policy = case.policy
    anomalies = 0 if case.labels is None else int(case.labels.sum())
    normals = 0 if case.labels is None else len(case.labels) - anomalies
    if anomalies < policy.min_anomalies or normals < policy.min_normals:
        return unmeasured(
            "quality not measured: no labels"
            if case.labels is None
            else "quality not measured: too few labelled rows",
            figure("anomalies", anomalies, at_least=policy.min_anomalies),
            figure("normal rows", normals, at_least=policy.min_normals),
        )
    # Of the energies of today, not those written down.
    now = getattr(deployment_metrics(case.labels, case.candidate, case.threshold), metric)
    return GateFinding(
        math.isfinite(now.value) and now.value >= floor,
        figures=(
            figure(title, now.value, interval=(now.low, now.high), at_least=floor),
            figure("anomalies", anomalies),
            figure("normal rows", normals),
        ),
    )


def false_alarm_band(case: Case) -> GateFinding:
    """Within the band that the calibration promises for the normal test rows."""
    if case.labels is None or case.labels.all():
        return unmeasured("not measured: no rows labelled normal")
    normal = case.candidate[~case.labels]
    alarms, rows = int(exceeds(normal, case.threshold).sum()), len(normal)
    expected = alarms_expected(rows, case.calibration, case.threshold)
    low, high = int(expected.ppf(ODDS_OF_CHANCE / 2)), int(expected.isf(ODDS_OF_CHANCE / 2))
    return GateFinding(
        low <= alarms <= high,
        figures=(
            figure("rate", alarms / rows, at_least=low / rows, at_most=high / rows),
            figure("alarms", alarms),
            figure("normal rows", rows),
        ),
    )


def alert_rate(case: Case) -> GateFinding:
    """Of test rows without labels at most `promotion.max_alert_rate` are flagged.

    Who flags most of an unlabelled table tells nobody where to look.
    """
    if case.labels is not None:
        return unmeasured("the rows are labelled: the false-alarm rate is judged")
    flagged = float(exceeds(case.candidate, case.threshold).mean())
    most = case.policy.max_alert_rate
    return GateFinding(
        flagged <= most,
        figures=(
            figure("alert rate", flagged, at_most=most),
            figure("rows", len(case.candidate)),
        ),
    )
