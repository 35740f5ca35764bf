"""Markdown of MLflow's and Prefect's pages, in which the words of others are words.

Both pages show links and pictures that a description holds. Names, levels and file names come from
whoever made the table, and reasons from people.
"""

import re
from collections.abc import Iterable

_ACTIVE = re.compile(r"\\|\](?=\s*[(:])")


def inert(text: object) -> str:
    """A text on one line that is no HTML, link or picture."""
    line = " ".join(str(text).split())
    return _ACTIVE.sub(r"\\\g<0>", line).replace("<", "&lt;")


def cell(text: object) -> str:
    """The same, in a table."""
    return inert(text).replace("|", "\\|")


def items(texts: Iterable[object]) -> list[str]:
    """A line of a list for each text."""
    return [f"- {inert(text)}" for text in texts]
