"""A registered version to a decision: promoted to production, or rejected with reasons."""

import getpass
from collections.abc import Mapping, Sequence

from mlflow.tracking import MlflowClient

from data_checks.base.scratch import scratch_folder
from flows.common.gate_results import GateResult
from flows.common.policy import PromotionPolicy
from flows.common.settings import Settings
from flows.notify.event_texts import tell_decision
from flows.promotion import approval, audit, card, judging, rollback_hold, switch
from flows.promotion.gates import people, shadowed
from flows.promotion.gates.case import Material
from flows.promotion.gates.table import find_gate
from flows.promotion.version.canary import answer_probe
from flows.promotion.version.stored_version import fetch_version
from flows.stages.decision import Decision, PromoteRecord, RegisterRecord
from flows.stages.run import TrainRun
from flows.tracking import registry, tracking


def promote_trained(run: TrainRun, registered: RegisterRecord) -> PromoteRecord:
    """Judge the version that a training has registered."""
    return promote(
        tracking.connect(run.settings),
        run.settings,
        registered.name,
        registered.version,
        by=getpass.getuser(),
        automatic=True,
    )


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
    release: bool = False,
    reason: str = "",
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
        release: Free a model that a rollback holds, if the version is promoted.
        reason: Why it is released.

    Raises:
        UsageError: The version does not exist, carries no evidence, or a gate cannot be overridden.
    """
    for gate in overrides or {}:
        find_gate(gate)  # an unknown name is refused before anything is judged
    candidate = registry.find_version(client, name, version)
    probe = answer_probe(client, name)
    why = (reason.strip() or "no reason given") if release else None
    if not rehearse:
        with switch.settled(client, settings, name, f"look at version {version}", probe):
            pass
    before = registry.version_behind(client, name, registry.PRODUCTION)
    if before == version:
        return _unchanged(client, settings, name, version, by, release=None if rehearse else why)
    with scratch_folder() as scratch:
        stored = fetch_version(client, candidate, scratch)
        policy = policy or stored.policy
        judged = judging.judge(client, stored, policy, before, scratch, release=why)

        def decide(
            results: Sequence[GateResult], material: Material, previous: int | None
        ) -> PromoteRecord:
            gates = judging.override(results, overrides or {}, by)
            return PromoteRecord(
                name=name,
                version=version,
                decision=_decision(gates, policy, automatic),
                previous=previous,
                gates=gates,
                # What the version failed by comes first.
                reasons=tuple(g.sentence() for g in sorted(gates, key=lambda gate: gate.passed)),
                evidence_sha256=stored.sha256,
                rehearsal=rehearse,
                hold="releases" if release else "",
                best_before=material.case.best_version if material.case else None,
            )

        record = decide(*judged, before)
        if rehearse:
            return record
        _tag_approval(client, record)
        if record.decision != "promoted":
            _write_down(client, settings, record, by)
        else:
            purpose = f"promote version {version}"
            with switch.settled(client, settings, name, purpose, probe) as (held, _):
                now = registry.version_behind(client, name, registry.PRODUCTION)
                if now == version:
                    return _unchanged(client, settings, name, version, by)
                held_now = rollback_hold.current_hold(audit.history(client, name)) is not None
                if now != before or held_now:  # what was judged by is no longer so
                    record = decide(*judging.judge_again(*judged, now), now)
                if record.decision == "promoted":
                    keep = policy.keep_promoted
                    record = switch.move(client, settings, record, by, held, probe, keep)
                else:
                    _write_down(client, settings, record, by)
    tell_decision(settings, record)
    return record


def _decision(gates: Sequence[GateResult], policy: PromotionPolicy, automatic: bool) -> Decision:
    against = [gate for gate in gates if gate.holds_back]
    if not all(gate.waits for gate in against):
        return "rejected"
    if automatic and not policy.promote:
        return "registered only"
    if not against:
        return "promoted"
    waiting = {gate.gate for gate in against}
    if people.HOLD in waiting:
        return "held"
    return "pending shadow" if waiting == {shadowed.GATE} else "pending approval"


def _tag_approval(client: MlflowClient, record: PromoteRecord) -> None:
    gate = next(g for g in record.gates if g.gate == people.APPROVAL)
    if gate.measured or not gate.passed:
        state = "approved" if gate.passed else "pending" if gate.waits else "rejected"
        client.set_model_version_tag(record.name, str(record.version), approval.STATE_TAG, state)


def _unchanged(
    client: MlflowClient,
    settings: Settings,
    name: str,
    version: int,
    by: str,
    *,
    release: str | None = None,
) -> PromoteRecord:
    record = PromoteRecord(
        name=name,
        version=version,
        decision="unchanged",
        previous=registry.version_behind(client, name, registry.PREVIOUS),
        gates=(),
        reasons=("this version is in production already",),
    )
    if release is None or rollback_hold.current_hold(audit.history(client, name)) is None:
        return record
    reasons = (*record.reasons, f"the model is released: {release}")
    record = record.model_copy(update={"hold": "releases", "reasons": reasons})
    _write_down(client, settings, record, by)
    card.show_switch(client, name)
    return record


def _write_down(client: MlflowClient, settings: Settings, record: PromoteRecord, by: str) -> None:
    """Audit a decision that moves nothing."""
    run_id = audit.write_decision(client, settings, record, by)
    card.tag_decision(client, record)
    audit.close(client, run_id, record)
