"""The result of a benchmark as one HTML page that needs nothing else: no network, no scripts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from data_checks.base.web_page import whole_page
from flows.benchmarking.protocols import PROTOCOLS
from flows.benchmarking.results.details import details, failures, published_table
from flows.benchmarking.results.summary import Block
from flows.benchmarking.results.tables import Table, over_the_tables, overview, protocol_title
from flows.benchmarking.results.text import prefix_of
from flows.benchmarking.rows import REFERENCE, is_sanity
from flows.reporting.html import image


def results_page(
    blocks: Sequence[Block],
    pictures: Mapping[str, bytes],
    facts: Sequence[str],
    missing: Table | None,
) -> str:
    """The page.

    `pictures` are SVG by file name; the first of the `facts` stands on top.
    """
    body = ["<h1>Benchmark</h1>", f"<p>{_fact(facts[0])}</p>", "<nav>"]
    leads = [block for block in blocks if block.leads]
    links = [(f"b{i}", protocol_title(b.protocol, b.grouped)) for i, b in enumerate(leads)]
    body += [f'<a href="#{anchor}">{escape(text)}</a>' for anchor, text in links] + ["</nav>"]
    if missing is not None:
        body.append(_table(missing, 2))
    for (anchor, text), lead in zip(links, leads, strict=True):
        body.append(f'<h2 id="{anchor}">{escape(text)}</h2>')
        body.append(f'<p class="note">{escape(PROTOCOLS[lead.protocol].explained)}</p>')
        place = (lead.protocol, lead.grouped)
        body += [_table(table, 3) for table in over_the_tables(blocks, *place)]
        for block in (b for b in blocks if (b.protocol, b.grouped) == place):
            body += _block(block, pictures)
    if (failed := failures(blocks)) is not None:
        body.append(_table(failed, 2))
    body += ["<h2>How it was measured</h2>", '<ul class="facts">']
    body += [f"<li>{_fact(fact)}</li>" for fact in facts[1:]] + ["</ul>"]
    style = (files("flows.benchmarking.results") / "page.css").read_text("utf-8")
    return whole_page("Benchmark", style, "\n".join(body))


def _block(block: Block, pictures: Mapping[str, bytes]) -> list[str]:
    mine = {n: svg for n, svg in pictures.items() if n.startswith(prefix_of(block))}
    images = {
        n: image(svg, n.removesuffix(".svg").replace("_", " "), "svg+xml")
        for n, svg in mine.items()
    }
    ranks = [picture for n, picture in images.items() if "critical-difference" in n]
    pairs = [picture for n, picture in images.items() if "critical-difference" not in n]
    parts = [_table(overview(block), 3), *ranks, f'<div class="pairs">{"".join(pairs)}</div>']
    if (published := published_table(block)) is not None:
        parts.append(_table(published, 3))
    for table in details(block) if block.leads else ():
        inner = _table(table, 4)
        parts.append(f"<details><summary>{escape(table.title)}</summary>{inner}</details>")
    return parts


def _table(table: Table, level: int | None = None) -> str:
    """The table, under a heading where it has a level."""
    heading = "" if level is None else f"<h{level}>{escape(table.title)}</h{level}>"
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    head = "".join(f"<th>{escape(text)}</th>" for text in table.header)
    lines = "".join(
        f'<tr class="{_kind(row[0])}">'
        + "".join(f"<td>{escape(text)}</td>" for text in row)
        + "</tr>"
        for row in table.rows
    )
    return (
        f"{heading}{note}"
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _fact(text: str) -> str:
    """A sentence whose commands stand between backticks."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


def _kind(label: str) -> str:
    if label == REFERENCE:
        return "reference"
    return "sanity" if is_sanity(label) else ""
