"""What a `prefect.yaml` says, read once for `dagmm deploy` and `dagmm serve` alike."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from flows.common.errors import UsageError
from flows.orchestration.schedules import (
    plain_sentence,
    schedules_of,
    triggers_of,
    unknown_keys,
)

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.deployments.runner import RunnerDeployment

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
            raise UsageError(f"{where}: {plain_sentence(error)}") from None
    names = [one.full_name for one in definitions]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{path}: {', '.join(twice)} is defined twice")
    return definitions


def _definition(name: str, values: dict[str, Any]) -> Definition:
    if unknown := unknown_keys(values, KEYS):
        raise ValueError(f"{', '.join(unknown)} means nothing to Prefect; {_nearest(unknown[0])}")
    flow = flow_behind(values.get("entrypoint"))
    limit = values.get("concurrency_limit")
    pool = values.get("work_pool") or {}
    if not isinstance(pool, dict) or not isinstance(pool.get("name", ""), str):
        raise ValueError("`work_pool` needs a `name`")
    tags = values.get("tags") or []
    if not isinstance(tags, list):
        raise ValueError("`tags` is no list")
    schedules = tuple(schedules_of(values))
    for parameters in (values.get("parameters") or {}, *(one.parameters for one in schedules)):
        if not isinstance(parameters, dict):
            raise ValueError("`parameters` is not a mapping")
        known = flow.parameters.properties
        if unknown := unknown_keys(parameters, known):
            takes = ", ".join(known)
            raise ValueError(f"no parameter {', '.join(unknown)}; the flow takes {takes}")
    runner = flow.to_deployment(
        name=name,
        description=values.get("description"),
        tags=tags,
        parameters=values.get("parameters"),
        schedules=list(schedules),
        triggers=list(triggers_of(values)),
        paused=values.get("paused"),
        version=values.get("version"),
        enforce_parameter_schema=values.get("enforce_parameter_schema", True),
        concurrency_limit=None if limit is None else _limit(limit),
    )
    return Definition(name, flow, schedules, pool.get("name", ""), runner, values)


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
        if unknown := unknown_keys(value, ConcurrencyLimitConfig.model_fields):
            raise ValueError(f"concurrency_limit: {', '.join(unknown)} means nothing")
        _limit(value.get("limit"))
        return ConcurrencyLimitConfig(**value)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError(f"concurrency_limit {value!r}: give a number, or limit and collision_strategy")
