"""Searches of MLflow: conditions in its language, which knows no escapes, and all pages."""

import re
from collections.abc import Callable, Iterator
from typing import Any

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


def pages(search: Callable[..., Any], *where: Any, **query: Any) -> Iterator[Any]:
    """Everything that a search finds, page by page."""
    token: str | None = None
    while True:
        page = search(*where, page_token=token, **query)
        yield from page
        token = page.token
        if not token:
            return
