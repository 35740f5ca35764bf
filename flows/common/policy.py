"""What a version must show before it becomes `production`, and who may ask for less."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from flows.common.assignments import dotted_keys, first_problem
from flows.common.errors import UsageError
from flows.common.value_types import Parameters


class PromotionPolicy(Parameters):
    """What a candidate must show before it becomes `production`."""

    promote: bool = True
    """Promote when every gate passes; else only register"""
    min_roc_auc: float = Field(0.6, ge=0, le=1)
    """Absolute floor on the test rows"""
    min_recall: float = Field(0.0, ge=0, le=1)
    """Absolute floor of the recall at the calibrated threshold"""
    min_anomalies: int = Field(5, ge=1)
    """Labelled test anomalies below which no floor is measured"""
    min_normals: int = Field(20, ge=1)
    """Labelled normal test rows below which no floor is measured"""
    max_alert_rate: float = Field(0.5, gt=0, le=1)
    """Largest share of unlabelled test rows that may be flagged"""
    margin: float = Field(0.05, ge=0, le=1)
    """How much average precision a candidate may lose against production; the lower end of the
    paired 90 % interval has to be within it"""
    simple_margin: float = Field(0.02, ge=0, le=1)
    """Blocked when a simple detector is better by more than this beyond doubt"""
    required_slices: tuple[str, ...] = ()
    """Values of the slice column that may not get worse than in production"""
    max_condition: float = Field(1e8, gt=1)
    """Largest condition number of a component's covariance"""
    min_effective_components: float = Field(1.0, ge=1)
    """Fewest components that carry the mixture (exp. of its entropy)"""
    max_evidence_days: float = Field(90.0, gt=0)
    """Oldest evaluation accepted"""
    serving_check: bool = True
    """Serve the model in a fresh process and query it before promotion"""
    max_latency_ms: float = Field(1000.0, gt=0)
    """95th percentile of the time to score one row over HTTP"""
    max_memory_mb: float = Field(2048.0, gt=0)
    """Memory of the serving process"""
    serving_seconds: float = Field(120.0, gt=0)
    """Time the model may take to be served and to answer"""
    min_shadow_rows: int = Field(0, ge=0)
    """Live rows that a candidate has to score beside production; 0 for none"""
    min_shadow_hours: float = Field(0.0, ge=0)
    """Time between the first and the last of these rows"""
    max_shadow_disagreement: float = Field(1.0, ge=0, le=1)
    """Largest share of these rows on which only one of the two raises an alert; 1 for any"""
    approvals: int = Field(0, ge=0)
    """People other than the requester who have to approve"""
    keep_promoted: int = Field(5, ge=2)
    """Promoted versions that are marked to be kept for a rollback"""


STRICTER_WHEN_HIGHER = (
    *("min_roc_auc", "min_recall", "min_effective_components", "approvals"),
    *("min_shadow_rows", "min_shadow_hours"),
)
STRICTER_WHEN_LOWER = (
    "min_anomalies",  # more of them needed means that fewer tables are measured at all
    "min_normals",
    "max_alert_rate",
    "margin",
    "simple_margin",
    "max_condition",
    "max_evidence_days",
    "max_latency_ms",
    "max_memory_mb",
    "serving_seconds",
    "max_shadow_disagreement",
)


def loosened(policy: PromotionPolicy, standing: PromotionPolicy) -> tuple[str, ...]:
    """Where a policy asks for less than the standing one, one sentence for each setting."""
    looser = []
    for names, sign in ((STRICTER_WHEN_HIGHER, 1), (STRICTER_WHEN_LOWER, -1)):
        for name in names:
            mine, theirs = getattr(policy, name), getattr(standing, name)
            if sign * mine < sign * theirs:
                looser.append(f"{name} {theirs:g} -> {mine:g}")
    if standing.serving_check and not policy.serving_check:
        looser.append("serving_check on -> off")
    dropped = sorted(set(standing.required_slices) - set(policy.required_slices))
    return (*looser, *(f"required_slices without {name!r}" for name in dropped))


def contract_policy(
    stated: Mapping[str, Any], chosen: PromotionPolicy, name: str
) -> PromotionPolicy:
    """The contract's policy, with what the configuration chose on top.

    Of the `chosen` one only those settings count that were given.

    Raises:
        UsageError: The contract states a setting or value that there is not.
    """
    given = {key: getattr(chosen, key) for key in chosen.model_fields_set}
    try:
        return PromotionPolicy.model_validate({**stated, **given})
    except ValidationError as error:
        where, problem, got = first_problem(error, lambda: dotted_keys(PromotionPolicy))
        raise UsageError(
            f"contract {name!r}, key promotion.{where}: {problem} (got {got!r})"
        ) from None
