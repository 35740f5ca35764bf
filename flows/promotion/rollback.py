"""An earlier version back in production."""

from __future__ import annotations

from mlflow.tracking import MlflowClient

from flows.common.errors import UsageError, Verdict
from flows.common.policy import PromotionPolicy
from flows.common.records import PromoteRecord
from flows.common.settings import Settings
from flows.promotion import audit, switch
from flows.promotion.lease import hold
from flows.promotion.stored_version import answers, check_light
from flows.tracking import registry


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
