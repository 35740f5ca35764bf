"""Moving `production`, in an order in which dying anywhere does no harm.

The decision is written down first, then the aliases move, then the decision is closed. Whoever has
the next lease on the model closes what a dead process left open, as what it had become.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from flows.common.gate_results import SWITCHES
from flows.common.settings import Settings
from flows.common.signals import reached
from flows.notify.event_texts import tell_decision
from flows.promotion import audit, card
from flows.promotion.lease import Lease, LostLease, hold
from flows.stages.decision import PromoteRecord
from flows.tracking import registry
from flows.tracking.registry import CHALLENGER, PREVIOUS, PRODUCTION

STEPS = (
    "lease taken",
    "decision written",
    "version tagged",
    "previous set",
    "production set",
    "answer checked",
    "challenger dropped",
    "decision closed",
    "retention marked",
)

Probe = Callable[[int], str]
"""Loads ``models:/NAME@production`` and says what is wrong with its answers, or nothing."""


def move(
    client: MlflowClient,
    settings: Settings,
    record: PromoteRecord,
    by: str,
    held: Lease,
    probe: Probe,
    keep: int,
) -> PromoteRecord:
    """Carry out a decision that moves `production`; the caller holds a `settled` lease.

    Returns:
        The record; its decision is `returned` when the model did not answer as recorded and
        `production` was put back.

    Raises:
        LostLease: Another process took over, because this one had been suspended; what this one
            did has been undone.
    """
    name, version = record.name, record.version
    reached("lease taken")
    older = registry.version_behind(client, name, PREVIOUS)
    run_id = audit.write_decision(client, settings, record, by, held.number)
    reached("decision written")
    card.tag_decision(client, record)
    reached("version tagged")
    _point(client, name, PREVIOUS, record.previous or older)
    reached("previous set")
    held.check()
    _point(client, name, PRODUCTION, version)
    reached("production set")
    try:
        held.check()
    except LostLease:
        undo_late_move(client, settings, name, version)
        raise
    wrong = _read_back(client, name, version) or probe(version)
    reached("answer checked")
    if wrong:
        _point(client, name, PRODUCTION, record.previous)
        _point(client, name, PREVIOUS, older)
        remark = f"undone: {wrong}"
        record = record.model_copy(
            update={
                "decision": "returned",
                "remark": remark,
                "reasons": (remark, *record.reasons),
            }
        )
        card.tag_decision(client, record)
    elif registry.version_behind(client, name, CHALLENGER) == version:
        _point(client, name, CHALLENGER, None)
    reached("challenger dropped")
    audit.close(client, run_id, record)
    reached("decision closed")
    audit.mark_kept(client, name, audit.history(client, name), keep, record.best_before)
    card.show_switch(client, name)
    reached("retention marked")
    return record


@contextmanager
def settled(
    client: MlflowClient, settings: Settings, name: str, purpose: str, probe: Probe
) -> Iterator[tuple[Lease, tuple[PromoteRecord, ...]]]:
    """Hold a lease on a model, once what dead processes left open is closed and told.

    Yields:
        The lease, and the decisions that had come into effect, or were undone now.
    """
    with hold(client, settings, name, purpose) as held:
        closed = _settle(client, name, held, probe)
        for interrupted in closed:
            tell_decision(settings, interrupted)
        yield held, closed


def _settle(
    client: MlflowClient, name: str, held: Lease, probe: Probe
) -> tuple[PromoteRecord, ...]:
    settled: list[PromoteRecord] = []
    decisions = audit.history(client, name)
    for decision in decisions:
        if decision.complete:
            continue
        now = registry.version_behind(client, name, PRODUCTION)
        overtaken = any(made.lease > decision.lease for made in audit.switches(decisions))
        if decision.decision not in SWITCHES:
            audit.close_as(
                client, decision.run_id, decision.decision, "closed after an interruption"
            )
        elif now != decision.version or overtaken:
            audit.close_as(
                client, decision.run_id, audit.INTERRUPTED, "ended before production was moved"
            )
            card.tag(client, name, decision.version, audit.INTERRUPTED)
            _repair_previous(client, name, now, decisions)
        elif wrong := probe(decision.version):
            _point(client, name, PRODUCTION, decision.previous)
            _repair_previous(client, name, decision.previous, decisions)
            audit.close_as(client, decision.run_id, "returned", f"lease {held.number}: {wrong}")
            card.tag(client, name, decision.version, "returned")
            settled.append(_record(decision, "returned", wrong))
        else:
            audit.close_as(
                client, decision.run_id, decision.decision, f"completed in lease {held.number}"
            )
            if registry.version_behind(client, name, CHALLENGER) == decision.version:
                _point(client, name, CHALLENGER, None)
            card.show_switch(client, name)
            settled.append(_record(decision, decision.decision, "completed after an interruption"))
    return tuple(settled)


def _record(settled: audit.Decision, decision: str, remark: str) -> PromoteRecord:
    return PromoteRecord(
        name=settled.name,
        version=settled.version,
        decision=decision,  # type: ignore[arg-type]
        previous=settled.previous,
        gates=settled.gates,
        reasons=tuple(settled.reasons.splitlines()),
        remark=remark,
        hold=settled.hold,  # type: ignore[arg-type]
    )


def undo_late_move(client: MlflowClient, settings: Settings, name: str, version: int) -> None:
    """Put `production` where the audit says, after a process moved it without having the lease."""
    with hold(client, settings, name, "undo of a late switch"):
        made = audit.switches(audit.history(client, name))
        if made and registry.version_behind(client, name, PRODUCTION) == version:
            _point(client, name, PRODUCTION, made[-1].version)


def _repair_previous(
    client: MlflowClient, name: str, now: int | None, decisions: tuple[audit.Decision, ...]
) -> None:
    """`previous` may have been moved for a switch that did not come."""
    made = audit.switches(decisions)
    if now is not None and registry.version_behind(client, name, PREVIOUS) == now:
        _point(client, name, PREVIOUS, made[-1].previous if made else None)


def _point(client: MlflowClient, name: str, alias: str, version: int | None) -> None:
    """Move an alias; to nowhere where there is no version, or it was deleted meanwhile."""
    if version is not None and registry.version_or_none(client, name, version) is not None:
        client.set_registered_model_alias(name, alias, str(version))
    elif registry.version_behind(client, name, alias) is not None:
        client.delete_registered_model_alias(name, alias)


def _read_back(client: MlflowClient, name: str, version: int) -> str:
    try:
        behind = registry.version_behind(client, name, PRODUCTION)
    except MlflowException as error:
        return f"{PRODUCTION} cannot be read: {error}"
    return "" if behind == version else f"{PRODUCTION} points to {behind}, not to {version}"
