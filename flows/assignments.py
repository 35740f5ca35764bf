"""`--set key=value`, and what is wrong with a value, in the words of whoever wrote it."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import ValidationError

from flows.errors import UsageError


def parse_assignment(assignment: str, example: str) -> tuple[str, Any]:
    """Key and value of one assignment; the value is read as YAML.

    Args:
        assignment: `key=value`.
        example: A right one, for the message.

    Raises:
        UsageError: It is no assignment, or the value is no YAML.
    """
    key, separator, text = assignment.partition("=")
    if not separator or not key:
        raise UsageError(f"--set {assignment!r}: write it as key=value, e.g. {example}")
    try:
        return key, yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(f"--set {assignment!r}: the value is not valid YAML") from None


def first_problem(error: ValidationError) -> tuple[str, str, Any]:
    """Dotted key, what is wrong, and the value, of the first thing that pydantic refused."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return where, first["msg"].removeprefix("Value error, "), first["input"]
