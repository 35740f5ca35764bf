"""An earlier version back in production."""

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from flows.common import progress
from flows.common.errors import UsageError, Verdict
from flows.common.policy import PromotionPolicy
from flows.common.settings import Settings
from flows.notify.event_texts import tell_decision
from flows.promotion import audit, switch
from flows.promotion.version.canary import answer_probe
from flows.promotion.version.stored_version import check_light
from flows.stages.decision import PromoteRecord
from flows.tracking import registry


def roll_back(
    client: MlflowClient,
    settings: Settings,
    name: str,
    to: int | None,
    *,
    by: str,
    reason: str = "",
    keep_held: bool = True,
) -> PromoteRecord:
    """Put an earlier version back in production, without data, training or gates.

    The bytes of the version are compared with its evidence, and its canary batch must be answered
    as recorded; else `production` stays where it is.

    Args:
        client: Registry.
        settings: Where the embedded store keeps artifacts.
        name: Registered model.
        to: Version to return to; the one that was in production before unless given.
        by: Who asks.
        reason: Why.
        keep_held: Refuse promotions from now on, until a person releases the model.

    Raises:
        UsageError: There is no version to return to, or it was never in production.
        Verdict: The version's files are not those that were promoted.
    """
    probe = answer_probe(client, name)
    audit.history(client, name)  # says so when there is no such model
    with switch.settled(client, settings, name, "rollback", probe) as (held, settled):
        for interrupted in settled:
            if interrupted.decision == "rolled back" and to in (None, interrupted.version):
                return interrupted  # what is repeated; going back once more would undo it
        now = registry.version_behind(client, name, registry.PRODUCTION)
        version = _named(client, name, to) if to else _before(client, name, now)
        target = int(version.version)
        record = PromoteRecord(
            name=name,
            version=target,
            decision="unchanged" if now == target else "rolled back",
            previous=now,
            gates=(),
            reasons=(reason or "no reason given",),
            hold="holds" if keep_held else "",
        )
        if now == target:
            return record.model_copy(update={"hold": ""})
        if problems := check_light(client, version):
            raise Verdict(f"version {target} of {name!r} is not as promoted: {'; '.join(problems)}")
        record = switch.move(
            client, settings, record, by, held, probe, PromotionPolicy().keep_promoted
        )
    tell_decision(settings, record)
    return record


def _named(client: MlflowClient, name: str, number: int) -> ModelVersion:
    """The version that a person named, if it has been in production."""
    version = registry.find_version(client, name, number)
    if number not in {d.version for d in audit.switches(audit.history(client, name))}:
        raise UsageError(
            f"version {number} of {name!r} was never in production; "
            f"use `dagmm promote {name} {number}`, which judges it first"
        )
    return version


def _before(client: MlflowClient, name: str, now: int | None) -> ModelVersion:
    """The version that was in production before, whatever was done to the aliases by hand.

    `previous` is trusted where both aliases are as the audit left them. Else it is the version of
    the newest recorded switch that still exists and passes its seal.
    """
    decisions = audit.history(client, name)
    made = audit.switches(decisions)
    previous = registry.version_behind(client, name, registry.PREVIOUS)
    untouched = made and now == made[-1].version and previous == made[-1].previous
    if untouched and previous is not None:
        return registry.find_version(client, name, previous)
    newest = list(dict.fromkeys(d.version for d in reversed(made) if d.version != now))
    passed_over = []
    for number in newest:
        version = registry.version_or_none(client, name, number)
        problems = ("it was deleted",) if version is None else check_light(client, version)
        if version is not None and not problems:
            progress.note(
                f"the aliases were changed by hand; version {number} is the newest that was "
                "promoted, still exists and passes its seal"
            )
            return version
        passed_over.append(f"version {number}: {'; '.join(problems)}")
    raise UsageError(
        f"{name!r} has no previous production version to return to "
        + (f"({' | '.join(passed_over)})" if passed_over else "(no other was promoted so far)")
        + f"; what fewer alerts would cost: `dagmm threshold {name}`"
    )
