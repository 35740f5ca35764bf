"""A stored version before the gates: scored now, beside production, and served meanwhile."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from flows.common.errors import UsageError
from flows.common.gate_results import GateResult
from flows.common.policy import PromotionPolicy
from flows.promotion import trial_server
from flows.promotion.best_before import with_best_before
from flows.promotion.carried_verdicts import carried_over
from flows.promotion.gates.case import Case, Material, read_case
from flows.promotion.gates.table import EVIDENCE, GATES, find_gate, in_table_order, judged_gates
from flows.promotion.version.stored_version import StoredVersion, score_rows
from flows.tracking import registry


def judge(
    client: MlflowClient,
    stored: StoredVersion,
    policy: PromotionPolicy,
    production: int | None,
    scratch: Path,
    *,
    release: str | None = None,
) -> tuple[tuple[GateResult, ...], Material]:
    """Judge every gate; only those of the registry when the files are not the evidence's.

    Where the version is production's detector with another threshold, what a threshold cannot
    change is carried over.
    """
    material = Material(policy, client, stored, production, release=release)
    known = judged_gates(material, ("registry",))
    if not next(result for result in known if result.gate == EVIDENCE.name).passed:
        return known, material
    before = carried_over(client, stored, policy, production, scratch)
    if before is not None:
        material = replace(material, case=read_case(stored, policy))
        without = {result.gate for result in before}
        return in_table_order(
            (*known, *before, *judged_gates(material, ("energies",), without=without))
        ), material
    serving = (
        trial_server.serving(stored.model, scratch, policy.serving_seconds)
        if policy.serving_check
        else nullcontext()
    )
    with serving as server:
        case = _against(client, stored.version, read_case(stored, policy), production)
        material = replace(material, case=case)
        energies = judged_gates(material, ("energies",))  # while the server starts
        last = judged_gates(replace(material, server=server), ("served model",))
    return in_table_order((*known, *energies, *last)), material


def judge_again(
    results: Sequence[GateResult], material: Material, production: int | None
) -> tuple[tuple[GateResult, ...], Material]:
    """The results with those renewed that depend on which version is in production."""
    assert material.case is not None
    case = _against(material.client, material.stored.version, material.case, production)
    material = replace(material, production=production, case=case)
    relative = {gate.name for gate in GATES if gate.relative}
    again = judged_gates(material, ("registry", "energies"), only_relative=True)
    return in_table_order((*(r for r in results if r.gate not in relative), *again)), material


def _against(
    client: MlflowClient, candidate: ModelVersion, case: Case, production: int | None
) -> Case:
    """The case with the energies of the version in production, and of the best one before it."""
    case = with_best_before(client, candidate, case, production)
    if production is None:
        return replace(case, production=None, production_error="")
    try:
        version = registry.find_version(client, candidate.name, production)
        energies = score_rows(client, version, case.frame)
    except Exception as error:  # whatever an older model raises is a finding, not a defect
        text = f"version {production}: {type(error).__name__}: {error}"
        return replace(case, production=None, production_error=text)
    return replace(case, production=energies, production_error="")


def override(
    results: Sequence[GateResult], overrides: Mapping[str, str], by: str
) -> tuple[GateResult, ...]:
    """Mark the failed gates that a person lets pass; they stay failed.

    Raises:
        UsageError: There is no such gate, it cannot be overridden, or the reason is missing.
    """
    reasons: dict[str, str] = {}
    judged_gates = {result.gate for result in results}
    for name, reason in overrides.items():
        gate = find_gate(name)
        if not gate.overridable or gate.name not in judged_gates:
            raise UsageError(f"gate {gate.name!r} cannot be overridden")
        if not reason:
            raise UsageError(f"an override of {gate.name!r} needs --reason")
        reasons[gate.name] = reason
    return tuple(
        result.model_copy(update={"overridden": f"{by}: {reasons[result.gate]}"})
        if not result.passed and result.gate in reasons
        else result
        for result in results
    )
