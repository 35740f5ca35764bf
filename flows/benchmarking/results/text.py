"""The whole result of a benchmark as one text: Markdown, and a page of HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from flows.benchmarking.entrants import REFERENCE, is_sanity
from flows.benchmarking.protocols import PROTOCOLS
from flows.benchmarking.results import details, tables
from flows.benchmarking.results.summary import Block
from flows.benchmarking.results.tables import Table, over_the_tables, overview, protocol_title
from flows.reporting import html


def overviews(blocks: Sequence[Block]) -> str:
    """The overviews of all protocols as Markdown: what a terminal or a notice has room for."""
    parts = []
    for block in (block for block in blocks if block.leads):
        place = (block.protocol, block.grouped)
        shown = [overview(block)]
        if block.many_tables:
            shown = over_the_tables(blocks, *place)
        parts += [
            replace(table, title=f"{protocol_title(*place)}: {table.title}").markdown(2)
            for table in shown
        ]
    return "\n".join(parts)


def results_markdown(blocks: Sequence[Block], plots: Sequence[str], facts: Sequence[str]) -> str:
    """The whole result as one Markdown text."""
    parts = ["# Benchmark\n", "\n".join(f"- {fact}" for fact in facts) + "\n"]
    for block in blocks:
        place = (block.protocol, block.grouped)
        if block.leads:
            explained = PROTOCOLS[block.protocol].explained
            parts.append(f"## {protocol_title(*place)}\n\n{explained}\n")
            parts += [table.markdown(3) for table in over_the_tables(blocks, *place)]
        parts.append(overview(block).markdown(3))
        mine = [name for name in plots if name.rpartition("/")[2].startswith(block.prefix)]
        parts += [f"![{name}]({name})\n" for name in mine]
        if (table := details.published_table(block)) is not None:
            parts.append(table.markdown(3))
        if block.leads:
            parts += [table.markdown(3) for table in details.details(block)]
    if (table := details.failures(blocks)) is not None:
        parts.append(table.markdown(2))
    return "\n".join(parts)


def results_page(
    blocks: Sequence[Block],
    pictures: Mapping[str, bytes],
    facts: Sequence[str],
    missing: Table | None,
) -> str:
    """The whole result as one HTML page that needs nothing else: no network, no scripts.

    `pictures` are SVG by file name; the first of the `facts` stands on top.
    """
    return html.render(
        "benchmark.html",
        "Benchmark",
        style="benchmark.css",
        blocks=blocks,
        facts=facts,
        missing=missing,
        pictures=pictures,
        protocols=PROTOCOLS,
        tables=tables,
        details=details,
        reference=REFERENCE,
        is_sanity=is_sanity,
    )
