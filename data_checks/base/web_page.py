"""What every HTML page of ours has in common: it runs no script and fetches nothing.

Names, cells, labels and levels on a page come from whoever made the table. They are escaped where
they are written; should one slip through, a browser still runs nothing of it.
"""

from __future__ import annotations

from typing import Any

CONTENT_POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="'
    "default-src 'none'; script-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'\">"
)
"""Stands in the head of a page, before anything that it forbids."""

_MARKS = {"<": "\ue000", ">": "\ue001", "&": "\ue002", '"': "\ue003", "'": "\ue004"}
_TO_MARKS = str.maketrans(_MARKS)
_TO_ENTITIES = str.maketrans(
    {
        "\ue000": "&lt;",
        "\ue001": "&gt;",
        "\ue002": "&amp;",
        "\ue003": "&quot;",
        "\ue004": "&#x27;",
    }
)


def marked(value: Any) -> Any:
    """A value for a template of others, which escapes some texts and some not, and some twice.

    What has a meaning in HTML becomes a character that has none anywhere; `unmarked` makes it an
    entity when the page is written. The keys of mappings are names of ours and stay.
    """
    if isinstance(value, str):
        return value.translate(_TO_MARKS)
    if isinstance(value, dict):
        return {key: marked(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(marked(item) for item in value)
    return value


def unmarked(page: str) -> str:
    """A page in which what was marked stands as entities."""
    return page.translate(_TO_ENTITIES)
