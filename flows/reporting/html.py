"""Pages in one file: no script, no network, every text escaped, and a policy that says so."""

from __future__ import annotations

import base64
import io
import warnings
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from data_checks.base.web_page import whole_page
from flows.common.readable import minute

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.figure import Figure

SHARP = 150
"""Pixels of a figure for each inch."""


def render(
    name: str, title: str, *, style: str = "page.css", forms: bool = False, **values: Any
) -> str:
    """A whole page, whose body one of the templates lays out."""
    body = templates().get_template(name).render(title=title, **values)
    css = (files("flows.reporting") / "templates" / style).read_text("utf-8")
    return whole_page(title, css, body, forms=forms)


@cache
def templates() -> Environment:
    """The templates: they escape every text, and a name that nobody has given is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("flows.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"format": format, "minute": minute, "address": address}
    return environment


def png(figure: Figure) -> bytes:
    """A figure, with as many pixels as a good screen shows."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # that no font has; the tables have the names
        figure.savefig(buffer, format="png", dpi=SHARP)
    return buffer.getvalue()


def address(figure: Figure | bytes, kind: str = "png") -> str:
    """An address that holds a figure, or the bytes of its picture."""
    content = base64.b64encode(figure if isinstance(figure, bytes) else png(figure)).decode()
    return f"data:image/{kind};base64,{content}"
