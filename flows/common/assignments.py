"""`--set key=value`, and what is wrong with a value, in the words of whoever wrote it."""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeGuard

import yaml
from pydantic import BaseModel, ValidationError

from flows.common.errors import UsageError
from flows.common.value_types import field_texts

LIKELY = 0.75
"""How alike two keys are when one is a misspelling of the other; less suggests nonsense."""


def parse_assignment(assignment: str, example: str) -> tuple[str, Any]:
    """Key and value of one assignment; the value is read as YAML.

    Raises:
        UsageError: It is no assignment, or the value is no YAML.
    """
    key, separator, text = assignment.partition("=")
    if not separator or not key:
        raise UsageError(f"--set {assignment!r}: write it as key=value, e.g. {example}")
    try:
        return key, yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError):  # 2026-02-30 is a ValueError
        raise UsageError(f"--set {assignment!r}: the value is not valid YAML") from None


def first_problem(
    error: ValidationError, known: Callable[[], Mapping[str, str]]
) -> tuple[str, str, Any]:
    """Dotted key, what is wrong, and the value, of the first thing that pydantic refused.

    `known` gives the dotted keys that there are; it is called only for an unknown one's hint.
    """
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    problem = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        problem = f"unknown key; {_hint(where, known())}"
    return where, problem, first["input"]


def dotted_keys(model: type[BaseModel]) -> dict[str, str]:
    """Every key that an assignment may name, groups written out, and what each means."""
    keys, texts = dict[str, str](), field_texts(model)
    for name, field in model.model_fields.items():
        group = field.annotation
        inner = dotted_keys(group) if _is_model(group) else {}
        if inner:
            keys |= {f"{name}.{key}": text for key, text in inner.items()}
        else:
            keys[name] = texts.get(name, "")
    return keys


def _is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _hint(key: str, known: Mapping[str, str]) -> str:
    """The known key that is meant: spelled nearly so, or of this meaning; else all beside it."""
    ends = {name.rpartition(".")[2]: name for name in reversed(known)}
    before, _, end = key.rpartition(".")
    close = get_close_matches(end, ends, 1, cutoff=LIKELY)
    if meant := ends[close[0]] if close else _of_meaning(key, known):
        return f"did you mean {meant!r}?"
    group = before + "." * bool(before)
    siblings = [name.removeprefix(group) for name in known if name.startswith(group)]
    return "known: " + ", ".join(dict.fromkeys(name.partition(".")[0] for name in siblings))


def _of_meaning(key: str, known: Mapping[str, str]) -> str:
    """The one key whose name, or else also description, holds every word of an unknown one."""
    for told in (dict.fromkeys(known, ""), known):
        meant = [name for name, more in told.items() if _words(key) <= _words(f"{name} {more}")]
        if len(meant) == 1:
            return meant[0]
    return ""


def _words(text: str) -> set[str]:
    return {word.rstrip("s") for word in re.findall(r"[a-z0-9]+", text.lower())}
