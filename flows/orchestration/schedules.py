"""When a deployment runs: the schedules and triggers of a `prefect.yaml`, as Prefect takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.events.schemas.deployment_triggers import DeploymentTriggerTypes

WHEN = ("cron", "interval", "rrule")
SHARED = ("active", "slug", "parameters", "replaces", "max_scheduled_runs")
"""Of a schedule, whatever its kind."""
OWN = {
    "cron": ("day_or", "timezone"),
    "interval": ("anchor_date", "timezone"),
    "rrule": ("timezone",),
}


def schedules_of(values: Mapping[str, Any]) -> Iterator[DeploymentScheduleCreate]:
    """The schedules of a deployment.

    Raises:
        ValueError: Prefect does not take one; the message says which.
    """
    entries = values.get("schedules") or []
    if not isinstance(entries, list):
        raise ValueError("`schedules` is no list")
    slugs: set[str] = set()
    for number, entry in enumerate([*entries, *filter(None, [values.get("schedule")])], 1):
        try:
            schedule = _schedule(entry)
            if schedule.slug in slugs:
                raise ValueError(f"slug {schedule.slug} is that of another schedule")
        except (ValueError, TypeError) as error:
            raise ValueError(f"schedule {number}: {plain_sentence(error)}") from None
        slugs |= {schedule.slug} if schedule.slug else set()
        yield schedule


def _schedule(entry: Any) -> DeploymentScheduleCreate:
    from prefect.client.schemas import schedules as kinds
    from prefect.client.schemas.actions import DeploymentScheduleCreate

    chosen = [kind for kind in WHEN if isinstance(entry, dict) and entry.get(kind)]
    if len(chosen) != 1:
        raise ValueError(f"it needs one of {', '.join(WHEN)}")
    [kind] = chosen
    if unknown := unknown_keys(entry, {*SHARED, kind, *OWN[kind]}):
        raise ValueError(f"{', '.join(unknown)} means nothing beside {kind}")
    own = {key: entry[key] for key in (kind, *OWN[kind]) if entry.get(key) is not None}
    if kind == "cron":
        when: Any = kinds.CronSchedule(**own)
    elif kind == "interval":
        when = kinds.IntervalSchedule(**own)
    else:
        text = own.pop("rrule")
        rule = (
            json.loads(text) if isinstance(text, str) and text.startswith("{") else {"rrule": text}
        )
        when = kinds.RRuleSchedule(**{**rule, **own})
    shared = {key: entry[key] for key in SHARED if entry.get(key) is not None}
    return DeploymentScheduleCreate(schedule=when, **shared)


def triggers_of(values: Mapping[str, Any]) -> Iterator[DeploymentTriggerTypes]:
    """The events that start a deployment.

    Raises:
        ValueError: Prefect does not take one; the message says which.
    """
    from prefect.events.schemas.deployment_triggers import DeploymentTriggerTypes
    from pydantic import TypeAdapter

    entries = values.get("triggers") or []
    if not isinstance(entries, list):
        raise ValueError("`triggers` is no list")
    for number, entry in enumerate(entries, 1):
        try:
            if not isinstance(entry, dict):
                raise ValueError("it is no mapping")
            trigger = TypeAdapter(DeploymentTriggerTypes).validate_python(entry)
            # Prefect ignores unknown keys: without `expect`, every event would start a run.
            if unknown := unknown_keys(entry, type(trigger).model_fields):
                raise ValueError(f"{', '.join(unknown)} means nothing")
        except ValueError as error:
            raise ValueError(f"trigger {number}: {plain_sentence(error)}") from None
        yield trigger


def unknown_keys(given: Iterable[object], known: Iterable[str]) -> list[str]:
    """What is given and not known, sorted."""
    return sorted(map(str, set(given) - set(known)))


def plain_sentence(error: Exception) -> str:
    """What is wrong, without the class names and addresses of pydantic's messages."""
    if not hasattr(error, "errors"):
        return str(error)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg'].removeprefix('Value error, ')}".removeprefix(": ")
