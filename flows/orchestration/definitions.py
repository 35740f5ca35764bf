"""What a `prefect.yaml` says, read once for `dagmm deploy` and `dagmm serve` alike."""

from __future__ import annotations

import difflib
import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from flows.common.errors import UsageError

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.deployments.runner import RunnerDeployment
    from prefect.events.schemas.deployment_triggers import DeploymentTriggerTypes

DEFINITIONS = Path(__file__).parents[1] / "prefect.yaml"
PROJECT = DEFINITIONS.parents[1]
PLACES = "flows/orchestration/{}_flow.py:{}"
FLOWS = tuple(
    PLACES.format(name, name) for name in ("train", "promote", "score", "monitor", "benchmark")
)
KEYS = {
    *("name", "version", "version_type", "tags", "description", "entrypoint", "flow_name"),
    *("parameters", "enforce_parameter_schema", "work_pool", "build", "push", "pull"),
    *("schedule", "schedules", "paused", "concurrency_limit", "triggers", "sla"),
}
"""Of a deployment. Prefect passes over any other, and with a misspelled one what it says."""
WHEN = ("cron", "interval", "rrule")
SHARED = ("active", "slug", "parameters", "replaces", "max_scheduled_runs")
"""Of a schedule, whatever its kind."""
OWN = {
    "cron": ("day_or", "timezone"),
    "interval": ("anchor_date", "timezone"),
    "rrule": ("timezone",),
}


@dataclass(frozen=True)
class Definition:
    """One deployment of a file.

    Attributes:
        pool: Work pool, or an empty string.
        runner: What one local process serves.
        values: Everything that the file says about it.
    """

    name: str
    flow: Flow[Any, Any]
    schedules: tuple[DeploymentScheduleCreate, ...]
    pool: str
    runner: RunnerDeployment
    values: Mapping[str, Any]

    @property
    def full_name(self) -> str:
        """FLOW/DEPLOYMENT, as Prefect's commands take it."""
        return f"{self.flow.name}/{self.name}"


def read_definitions(file: Path | None) -> list[Definition]:
    """Deployments of a `prefect.yaml`, the shipped one unless another is given.

    Raises:
        UsageError: The file cannot be read, or what it says cannot be; the message says where.
    """
    path = file or DEFINITIONS
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: cannot be read as a prefect.yaml ({error})") from None
    entries = document.get("deployments") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{path} defines no deployment: it needs a list `deployments:`")
    definitions = []
    for number, values in enumerate(entries):
        name = values.get("name") if isinstance(values, dict) else None
        where = f"{path}: deployment {name or number + 1}"
        if not isinstance(name, str) or not name or "/" in name:
            raise UsageError(f"{where}: it needs a `name`, without a slash")
        try:
            definitions.append(_definition(name, values))
        except ValueError as error:  # pydantic's errors are of this class, too
            raise UsageError(f"{where}: {_sentence(error)}") from None
    names = [one.full_name for one in definitions]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{path}: {', '.join(twice)} is defined twice")
    return definitions


def _definition(name: str, values: dict[str, Any]) -> Definition:
    if unknown := _others(values, KEYS):
        raise ValueError(f"{', '.join(unknown)} means nothing to Prefect; {_nearest(unknown[0])}")
    flow = flow_behind(values.get("entrypoint"))
    limit = values.get("concurrency_limit")
    pool = values.get("work_pool") or {}
    if not isinstance(pool, dict) or not isinstance(pool.get("name", ""), str):
        raise ValueError("`work_pool` needs a `name`")
    tags = values.get("tags") or []
    if not isinstance(tags, list):
        raise ValueError("`tags` is no list")
    schedules = tuple(_schedules(values))
    for parameters in (values.get("parameters") or {}, *(one.parameters for one in schedules)):
        if not isinstance(parameters, dict):
            raise ValueError("`parameters` is not a mapping")
        known = flow.parameters.properties
        if unknown := _others(parameters, known):
            takes = ", ".join(known)
            raise ValueError(f"no parameter {', '.join(unknown)}; the flow takes {takes}")
    runner = flow.to_deployment(
        name=name,
        description=values.get("description"),
        tags=tags,
        parameters=values.get("parameters"),
        schedules=list(schedules),
        triggers=list(_triggers(values)),
        paused=values.get("paused"),
        version=values.get("version"),
        enforce_parameter_schema=values.get("enforce_parameter_schema", True),
        concurrency_limit=None if limit is None else _limit(limit),
    )
    return Definition(name, flow, schedules, pool.get("name", ""), runner, values)


def _others(given: Iterable[object], known: Iterable[str]) -> list[str]:
    return sorted(map(str, set(given) - set(known)))


def _nearest(key: str) -> str:
    close = difflib.get_close_matches(key, KEYS, n=1)
    return f"is it {close[0]}?" if close else f"it knows {', '.join(sorted(KEYS))}"


def flow_behind(entrypoint: object) -> Flow[Any, Any]:
    """The flow that an entry point names: `flows/….py:NAME`, or `flows.….NAME`.

    Raises:
        ValueError: There is no such flow.
    """
    from prefect import Flow

    text = entrypoint if isinstance(entrypoint, str) else ""
    module, _, name = text.replace(":", ".").rpartition(".")
    module = module.removesuffix(".py").removeprefix("./").replace("/", ".")
    named = None
    if module.startswith("flows.") and all(part.isidentifier() for part in module.split(".")):
        try:
            named = getattr(importlib.import_module(module), name, None)
        except ModuleNotFoundError:
            named = None
    if not isinstance(named, Flow):
        raise ValueError(f"no flow at entrypoint {entrypoint!r}; flows: {', '.join(FLOWS)}")
    return named


def _limit(value: object) -> Any:
    """A concurrency limit as Prefect takes it: a number, or a mapping with a strategy."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig

    if isinstance(value, dict):
        if unknown := _others(value, ConcurrencyLimitConfig.model_fields):
            raise ValueError(f"concurrency_limit: {', '.join(unknown)} means nothing")
        _limit(value.get("limit"))
        return ConcurrencyLimitConfig(**value)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError(f"concurrency_limit {value!r}: give a number, or limit and collision_strategy")


def _schedules(values: Mapping[str, Any]) -> Iterator[DeploymentScheduleCreate]:
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
            raise ValueError(f"schedule {number}: {_sentence(error)}") from None
        slugs |= {schedule.slug} if schedule.slug else set()
        yield schedule


def _schedule(entry: Any) -> DeploymentScheduleCreate:
    from prefect.client.schemas import schedules as kinds
    from prefect.client.schemas.actions import DeploymentScheduleCreate

    chosen = [kind for kind in WHEN if isinstance(entry, dict) and entry.get(kind)]
    if len(chosen) != 1:
        raise ValueError(f"it needs one of {', '.join(WHEN)}")
    [kind] = chosen
    if unknown := _others(entry, {*SHARED, kind, *OWN[kind]}):
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


def _triggers(values: Mapping[str, Any]) -> Iterator[DeploymentTriggerTypes]:
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
            if unknown := _others(entry, type(trigger).model_fields):
                raise ValueError(f"{', '.join(unknown)} means nothing")
        except ValueError as error:
            raise ValueError(f"trigger {number}: {_sentence(error)}") from None
        yield trigger


def _sentence(error: Exception) -> str:
    """What is wrong, without the class names and addresses of pydantic's messages."""
    if not hasattr(error, "errors"):
        return str(error)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg'].removeprefix('Value error, ')}".removeprefix(": ")
