"""The result of a benchmark as one HTML page that needs nothing else: no network, no scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flows.benchmarking.protocols import PROTOCOLS
from flows.benchmarking.results.details import details, failures, published_table
from flows.benchmarking.results.summary import Block
from flows.benchmarking.results.tables import Table, over_the_tables, overview, protocol_title
from flows.benchmarking.results.text import prefix_of
from flows.benchmarking.rows import REFERENCE, is_sanity
from flows.reporting import html


def results_page(
    blocks: Sequence[Block],
    pictures: Mapping[str, bytes],
    facts: Sequence[str],
    missing: Table | None,
) -> str:
    """The page.

    `pictures` are SVG by file name; the first of the `facts` stands on top.
    """

    def pictures_of(block: Block) -> dict[str, bytes]:
        return {n: svg for n, svg in pictures.items() if n.startswith(prefix_of(block))}

    return html.render(
        "benchmark.html",
        "Benchmark",
        style="benchmark.css",
        blocks=blocks,
        facts=facts,
        missing=missing,
        pictures_of=pictures_of,
        protocols=PROTOCOLS,
        protocol_title=protocol_title,
        over_the_tables=over_the_tables,
        overview=overview,
        published_table=published_table,
        details=details,
        failures=failures,
        reference=REFERENCE,
        is_sanity=is_sanity,
    )
