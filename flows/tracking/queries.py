"""Conditions in MLflow's query language, which knows no escapes."""

from __future__ import annotations

import re

from flows.common.errors import UsageError


def equals(field: str, value: str) -> str:
    """The condition that a field has a value, also one with a quote in it.

    Raises:
        UsageError: The value cannot be written in MLflow's language.
    """
    mark = '"' if "'" in value else "'"
    if mark in value or not value.isprintable():
        raise UsageError(f"{value!r}: MLflow cannot be asked for text with both kinds of quotes")
    return f"{field} = {mark}{value}{mark}"


def condition(text: str, field: str) -> str:
    """The value that `equals` was given for a field.

    Raises:
        ValueError: The text is another condition.
    """
    match = re.fullmatch(rf"{re.escape(field)} = (['\"])(.*)\1", text)
    if match is None:
        raise ValueError(f"{text!r} is not a condition on {field}")
    return match[2]
