"""`--set key=value`, and what is wrong with a value, in the words of whoever wrote it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, TypeGuard

import yaml
from pydantic import BaseModel, ValidationError

from flows.common.errors import UsageError


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


def first_problem(
    error: ValidationError, known: Callable[[], Sequence[str]]
) -> tuple[str, str, Any]:
    """Dotted key, what is wrong, and the value, of the first thing that pydantic refused.

    Args:
        error: Of the validation.
        known: Gives the dotted keys that there are, asked only for an unknown one's hint.
    """
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        said = f"unknown key; {_hint(where, known())}"
    return where, said, first["input"]


def dotted_keys(model: type[BaseModel]) -> list[str]:
    """Every key that an assignment may name, groups of keys written out."""
    keys = []
    for name, field in model.model_fields.items():
        group = field.annotation
        inner = dotted_keys(group) if _is_model(group) else []
        keys += [f"{name}.{key}" for key in inner] or [name]
    return keys


def _is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _hint(key: str, known: Sequence[str]) -> str:
    """The known key that ends as this one does, or nearly so; else all that stand beside it."""
    ends = {name.rpartition(".")[2]: name for name in reversed(known)}
    before, _, end = key.rpartition(".")
    if found := get_close_matches(end, ends, 1):
        return f"did you mean {ends[found[0]]!r}?"
    group = before + "." * bool(before)
    beside = [name.removeprefix(group) for name in known if name.startswith(group)]
    return "known: " + ", ".join(dict.fromkeys(name.partition(".")[0] for name in beside))
