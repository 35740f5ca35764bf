"""What every HTML page of dagmm has in common: it runs no script and fetches nothing.

Names, cells, labels and levels on a page come from whoever made the table. They are escaped where
they are written; should one slip through, a browser still runs nothing of it.
"""

import base64
import hashlib
from html import escape
from typing import Any

_MARKS = {"<": "\ue000", ">": "\ue001", "&": "\ue002", '"': "\ue003", "'": "\ue004"}
_TO_MARKS = str.maketrans(_MARKS)
_TO_ENTITIES = str.maketrans({mark: escape(sign) for sign, mark in _MARKS.items()})


def whole_page(
    title: str, style: str, body: str, *, inline_styles: bool = False, forms: bool = False
) -> str:
    """A page, whose head forbids everything but what is in the page itself.

    `body` is HTML with every text in it escaped; its elements may have `inline_styles`, and where
    its forms may go, the server's own policy says.
    """
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = "default-src 'none'; script-src 'none'; img-src data:; base-uri 'none'; style-src "
    policy += "'unsafe-inline'" if inline_styles else f"'sha256-{digest}'"
    policy += "" if forms else "; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        f"<body>{body}</body></html>\n"
    )


def marked(value: Any) -> Any:
    """A value for a template of others, which escapes some texts and some not, and some twice.

    What has a meaning in HTML becomes a character that has none anywhere; `unmarked` makes it an
    entity when the page is written. The keys of mappings are our own names and stay.
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
