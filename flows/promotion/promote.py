"""A registered version to a decision: promoted to production, or rejected with reasons."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mlflow.tracking import MlflowClient

from flows.common.errors import UsageError, Verdict
from flows.common.policy import PromotionPolicy
from flows.common.records import Decision, GateResult, PromoteRecord
from flows.common.settings import Settings
from flows.promotion import approval, audit, serving_check, standing_policy, switch
from flows.promotion.gates import Case, compare, judge, result
from flows.promotion.lease import hold
from flows.promotion.stored_version import (
    StoredVersion,
    answers,
    check_light,
    fetch_version,
    read_case,
    score,
)
from flows.tracking import registry

FINAL_GATES = ("evidence", approval.GATE)
"""No override: without them nobody knows what is promoted, or who wanted it."""


def promote(
    client: MlflowClient,
    settings: Settings,
    name: str,
    version: int,
    *,
    by: str,
    policy: PromotionPolicy | None = None,
    rehearse: bool = False,
    overrides: Mapping[str, str] | None = None,
    automatic: bool = False,
) -> PromoteRecord:
    """Judge a version against the policy and against production, and carry out the decision.

    Candidate and production are scored now, on the evaluation rows kept with the candidate's run.
    Judging holds nobody up; only the switch waits for its lease, and compares again when
    `production` has moved since.

    Args:
        client: Registry.
        settings: Where the embedded store keeps artifacts.
        name: Registered model.
        version: Candidate.
        by: Who asks, for the audit trail.
        policy: Floors and margins; those of the candidate's own configuration unless given.
        rehearse: Judge and change nothing.
        overrides: Reason by gate, for gates that may fail.
        automatic: Asked for by a training, which honours ``policy.promote``.

    Raises:
        UsageError: The version does not exist, carries no evidence, or a gate cannot be overridden.
    """
    candidate = registry.find_version(client, name, version)
    probe = answers(client, name)
    if not rehearse:
        with hold(client, settings, name, f"look at version {version}") as held:
            switch.settle(client, name, held, probe)
    before = registry.version_behind(client, name, registry.PRODUCTION)
    if before == version:
        return _unchanged(client, name, version)
    with tempfile.TemporaryDirectory() as scratch:
        stored = fetch_version(client, candidate, Path(scratch))
        policy = policy or stored.policy
        gates, case = _judged(client, stored, policy, before, Path(scratch))
        gates = _overridden(gates, overrides or {}, by)

        def decide(judged: Sequence[GateResult], previous: int | None) -> PromoteRecord:
            sentences = tuple(gate.sentence() for gate in judged)
            return PromoteRecord(
                name=name,
                version=version,
                decision=_decision(judged, policy, automatic),
                previous=previous,
                gates=tuple(judged),
                reasons=sentences,
                evidence_sha256=stored.sha256,
                rehearsal=rehearse,
            )

        record = decide(gates, before)
        if rehearse:
            return record
        _tag_approval(client, record)
        if record.decision != "promoted":
            return _write_down(client, settings, record, by)
        assert case is not None
        with hold(client, settings, name, f"promote version {version}") as held:
            switch.settle(client, name, held, probe)
            now = registry.version_behind(client, name, registry.PRODUCTION)
            if now == version:
                return _unchanged(client, name, version)
            if now != before:  # what was compared with is no longer in production
                again = _relative(client, stored, _against(case, name, now), now)
                kept = [g for g in gates if not g.gate.startswith(tuple(a.gate for a in again))]
                record = decide(_overridden([*kept, *again], overrides or {}, by), now)
                if record.decision != "promoted":
                    return _write_down(client, settings, record, by)
            return switch.move(client, settings, record, by, held, probe, policy.keep_promoted)


def approve(
    client: MlflowClient, name: str, version: int, by: str, reason: str, *, approved: bool
) -> None:
    """Record that somebody approved or rejected a version, bound to its evidence."""
    found = registry.find_version(client, name, version)
    approval.record(client, found, by, reason, approved=approved)


def _judged(
    client: MlflowClient,
    stored: StoredVersion,
    policy: PromotionPolicy,
    before: int | None,
    scratch: Path,
) -> tuple[list[GateResult], Case | None]:
    """Every gate; the case is None when the bytes are not those of the evidence."""
    name = stored.version.name
    approved = approval.judge(stored.version, policy, stored.evidence.get("requested_by", ""))
    problems = stored.problems(policy)
    if problems:
        skipped = "not judged: files that are not those of the evidence are not opened"
        return [
            result("evidence", False, "; ".join(problems)),
            result("all other gates", False, skipped),
            approved,
        ], None
    standing = standing_policy.judge(client, stored, before)
    whole = result("evidence", True, f"sha256 {stored.sha256[:16]}… holds for every file")
    if not policy.serving_check:
        case = _against(read_case(stored, policy), name, before)
        served = result(serving_check.GATE, True, "switched off by the policy", measured=False)
        return [whole, *judge(case), standing, served, approved], case
    with serving_check.serving(stored.model, scratch, policy.serving_seconds) as server:
        case = _against(read_case(stored, policy), name, before)
        gates = judge(case)  # while the server starts
        served = serving_check.judge(server, stored.canary, policy)
    return [whole, *gates, standing, served, approved], case


def _relative(
    client: MlflowClient, stored: StoredVersion, case: Case, production: int | None
) -> tuple[GateResult, ...]:
    """The gates that depend on which version is in production."""
    return (*compare(case), standing_policy.judge(client, stored, production))


def _against(case: Case, name: str, production: int | None) -> Case:
    """The case with the energies of the version that is in production."""
    if production is None:
        return replace(case, production=None, production_error="")
    try:
        energies = score(f"models:/{name}/{production}", case.frame)
    except Exception as error:  # whatever an older model's code raises is a finding, not a defect
        text = f"version {production}: {type(error).__name__}: {error}"
        return replace(case, production=None, production_error=text)
    return replace(case, production=energies, production_error="")


def _overridden(
    gates: Sequence[GateResult], overrides: Mapping[str, str], by: str
) -> list[GateResult]:
    names = [gate.gate for gate in gates]
    for gate, reason in overrides.items():
        if gate in FINAL_GATES or "all other gates" in names:
            raise UsageError(f"gate {gate!r} cannot be overridden")
        if gate not in names:
            raise UsageError(f"no gate {gate!r}; gates: {', '.join(names)}")
        if not reason:
            raise UsageError(f"an override of {gate!r} needs --reason")
    return [
        gate.model_copy(update={"overridden": f"{by}: {overrides[gate.gate]}"})
        if not gate.passed and gate.gate in overrides
        else gate
        for gate in gates
    ]


def _decision(gates: Sequence[GateResult], policy: PromotionPolicy, automatic: bool) -> Decision:
    held = [gate for gate in gates if gate.holds_back]
    if automatic and not policy.promote and all(g.gate == approval.GATE for g in held):
        return "registered only"
    if not held:
        return "promoted"
    if all(g.gate == approval.GATE and approval.state(g) == "pending" for g in held):
        return "pending approval"
    return "rejected"


def _tag_approval(client: MlflowClient, record: PromoteRecord) -> None:
    gate = next(g for g in record.gates if g.gate == approval.GATE)
    if gate.measured or not gate.passed:
        client.set_model_version_tag(
            record.name, str(record.version), approval.STATE_TAG, approval.state(gate)
        )


def _unchanged(client: MlflowClient, name: str, version: int) -> PromoteRecord:
    return PromoteRecord(
        name=name,
        version=version,
        decision="unchanged",
        previous=registry.version_behind(client, name, registry.PREVIOUS),
        gates=(),
        reasons=("this version is in production already",),
    )


def _write_down(
    client: MlflowClient, settings: Settings, record: PromoteRecord, by: str
) -> PromoteRecord:
    """Audit a decision that moves nothing."""
    run_id = audit.write(client, settings, record, by)
    audit.tag_version(client, record)
    audit.close(client, run_id, record)
    return record


def roll_back(
    client: MlflowClient,
    settings: Settings,
    name: str,
    to: int | None,
    *,
    by: str,
    reason: str = "",
) -> PromoteRecord:
    """Put an earlier version back in production, without data, training or gates.

    The bytes of the version are compared with its evidence, and its canary batch must be answered
    as recorded; else `production` stays where it is.

    Args:
        client: Registry.
        settings: Where the embedded store keeps artifacts.
        name: Registered model.
        to: Version to return to; the one behind `previous` unless given.
        by: Who asks.
        reason: Why.

    Raises:
        UsageError: There is no version to return to, or it was never in production.
        Verdict: The version's files are not those that were promoted.
    """
    probe = answers(client, name)
    audit.history(client, name)  # says so when there is no such model
    with hold(client, settings, name, "rollback") as held:
        switch.settle(client, name, held, probe)
        now = registry.version_behind(client, name, registry.PRODUCTION)
        target = to or registry.version_behind(client, name, registry.PREVIOUS)
        if target is None:
            raise UsageError(f"{name!r} has no previous production version to return to")
        version = registry.find_version(client, name, target)
        served = {d.version for d in audit.switches(audit.history(client, name))}
        if target not in served:
            raise UsageError(
                f"version {target} of {name!r} was never in production; "
                f"use `dagmm promote {name} {target}`, which judges it first"
            )
        record = PromoteRecord(
            name=name,
            version=target,
            decision="unchanged" if now == target else "rolled back",
            previous=now,
            gates=(),
            reasons=(reason or "no reason given",),
        )
        if now == target:
            return record
        if problems := check_light(client, version):
            raise Verdict(f"version {target} of {name!r} is not as promoted: {'; '.join(problems)}")
        return switch.move(
            client, settings, record, by, held, probe, PromotionPolicy().keep_promoted
        )
