"""Conditions in MLflow's query language, which knows no escapes."""

from __future__ import annotations

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
