"""Who is notified of what; addresses are secrets, and stand in the environment."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import Literal, Self, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

from flows.common.assignments import dotted_keys, first_problem
from flows.common.errors import UsageError
from flows.common.settings import Settings
from flows.common.value_types import Parameters

Kind = Literal[
    "drift",
    "promoted",
    "rejected",
    "pending",
    "held",
    "returned",
    "rolled-back",
    "not-served",
    "scoring",
    "run-failed",
    "run-missed",
    "service-down",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
FILE = "notify.yaml"
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


class Target(Parameters):
    """Where messages go."""

    name: str
    """Name of the target, for messages about it"""
    kind: Literal["webhook", "slack", "email", "apprise"]
    """webhook: JSON by POST. slack: the same as Slack, Mattermost and others take it. email: an
    address as Apprise writes it, mailtos://USER:PASSWORD@HOST?to=…. apprise: any other address of
    Apprise"""
    url: str
    """NAME of the environment variable that holds the address; never the address"""
    events: tuple[Kind, ...] = KINDS
    """Events to tell; all unless given"""

    @property
    def address(self) -> str:
        """The address; empty where the variable is not set."""
        return os.environ.get(self.url, "").strip()


class NotifyConfig(Parameters):
    """Who is notified of what."""

    targets: tuple[Target, ...] = ()
    """Where messages go"""
    cool_down_hours: float = Field(6.0, ge=0)
    """Time in which the same is not told again; it is counted instead"""
    timeout_seconds: float = Field(5.0, gt=0, le=60)
    """Longest time that telling may take, of all targets together"""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = Counter(target.name for target in self.targets)
        if twice := sorted(name for name, count in names.items() if count > 1):
            raise ValueError(f"target named twice: {', '.join(twice)}")
        return self


def notify_file(settings: Settings) -> Path | None:
    """The file that says who is told; None where nobody is."""
    if settings.notify_file is not None:
        return settings.notify_file
    file = settings.home / FILE
    return file if file.exists() else None


def read_notify(settings: Settings) -> NotifyConfig:
    """Who is notified of what; nobody where there is no file.

    Raises:
        UsageError: The file is unreadable, or a key or value in it is not valid. No value is
            repeated: it may be a secret in the wrong place.
    """
    file = notify_file(settings)
    if file is None:
        return NotifyConfig()
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise UsageError(f"{file}: not YAML{where}") from None
    if not isinstance(document, dict) or set(document) != {"notify"} or not document["notify"]:
        raise UsageError(f"{file}: expected `notify:` with `targets:` below it, and nothing else")
    try:
        config = NotifyConfig.model_validate(document["notify"])
    except ValidationError as error:
        where, problem, _ = first_problem(error, lambda: dotted_keys(NotifyConfig))
        raise UsageError(f"{file}, key notify.{where}: {problem}") from None
    for target in config.targets:
        if not VARIABLE.fullmatch(target.url):
            raise UsageError(
                f"{file}, target {target.name!r}: `url` is the NAME of an environment variable "
                "(capitals, digits, _) that holds the address, never the address itself"
            )
    return config
