"""Pages in one file: no script, no network, every text escaped, and a policy that says so."""

from __future__ import annotations

import base64
import html
import io
import warnings
from collections.abc import Collection, Iterable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from data_checks.base.web_page import whole_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARP = 150
"""Pixels of a figure for each inch."""
TONES = ("good", "careful", "bad")
"""What a banner or a mark may say; anything else is grey."""


def document(title: str, body: Iterable[str], *, forms: bool = False) -> str:
    """A whole page."""
    style = (files("flows.reporting") / "page.css").read_text("utf-8")
    return whole_page(title, style, "".join(body), forms=forms)


def text(value: object) -> str:
    """A text, escaped."""
    return html.escape(str(value))


def banner(tone: str, message: str, lines: Sequence[str] = ()) -> str:
    """What matters most, in a colour, with its reasons."""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    listed = f"<ul>{items}</ul>" if items else ""
    return f'<div class="banner {_tone(tone)}"><b>{text(message)}</b>{listed}</div>'


def mark(tone: str, word: str) -> str:
    """A verdict in its colour."""
    return f'<span class="mark {_tone(tone)}">{text(word)}</span>'


def _tone(tone: str) -> str:
    return tone if tone in TONES else ""


def quiet(message: str) -> str:
    """A remark."""
    return f'<p class="quiet">{text(message)}</p>'


def heading(title: str) -> str:
    """Of a section."""
    return f"<h2>{text(title)}</h2>"


def png(figure: Figure) -> bytes:
    """A figure, with as many pixels as a good screen shows."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # that no font has; the tables have the names
        figure.savefig(buffer, format="png", dpi=SHARP)
    return buffer.getvalue()


def image(figure: Figure | bytes, what: str, kind: str = "png") -> str:
    """A figure, or the bytes of its picture, inside the page."""
    content = base64.b64encode(figure if isinstance(figure, bytes) else png(figure)).decode()
    return f'<img alt="{text(what)}" src="data:image/{kind};base64,{content}">'


class Raw(str):
    """HTML that is made already, e.g. by `mark`."""


def table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], numbers: Collection[int] = ()
) -> str:
    """A table; cells are escaped, but for `Raw` ones.

    The columns at `numbers` are aligned right.
    """

    def cells(kind: str, values: Sequence[object]) -> str:
        return "".join(
            f"<{kind}{' class=n' if place in numbers else ''}>"
            f"{value if isinstance(value, Raw) else text(value)}</{kind}>"
            for place, value in enumerate(values)
        )

    head = f"<tr>{cells('th', headers)}</tr>" if headers else ""
    lines = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table>{head}{lines}</table>"
