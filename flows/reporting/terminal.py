"""What commands print for people: labels, hanging indents at any width, colours on a terminal.

Off a terminal the same lines are plain and never broken, so that they can be searched; `NO_COLOR`
and `COLUMNS` are obeyed.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from data_checks.base.visible import visible
from flows.common.gate_results import GateResult

P = ParamSpec("P")
UNBROKEN = 10_000
"""Columns of a page that is not shown on a terminal."""

STYLES = {
    "promoted": "bold green",
    "rolled back": "bold green",
    "restored": "bold green",
    "withdrawn": "yellow",
    "unchanged": "green",
    "passed": "green",
    "failed": "bold red",
    "rejected": "bold red",
    "returned": "bold red",
    "not served": "bold red",
    "overridden": "yellow",
    "waits": "yellow",
    "pending approval": "bold yellow",
    "pending shadow": "bold yellow",
    "held": "bold yellow",
    "interrupted": "yellow",
    "stable": "green",
    "warning": "bold yellow",
    "critical": "bold red",
}
MARKS = {"failed": "✗", "overridden": "!", "passed": "✓", "waits": "…"}

Entry = tuple[str, RenderableType]
"""A label, and what belongs to it."""


def show(page: RenderableType) -> None:
    """Print a page on stdout."""
    asked = os.environ.get("COLUMNS", "")  # what is no number is nothing to anybody else, either
    wide = int(asked) if asked.isdecimal() and int(asked) else UNBROKEN
    width = None if sys.stdout.isatty() else wide
    console = Console(file=sys.stdout, width=width, highlight=False, emoji=False, markup=False)
    # What data holds is made visible before the styles of this page become escape sequences.
    told = [
        piece if piece.control else Segment(visible(piece.text), piece.style)
        for piece in console.render(page)
    ]
    with console.capture() as printed:
        console.print(Segments(told), end="", crop=False)
    # Rich fills the last column of a table with blanks.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in printed.get().splitlines()))
    sys.stdout.flush()


def sheet(entries: Iterable[Entry]) -> Table:
    """Labels on the left, and beside each its text, which never runs under the label."""
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=9, no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for label, content in entries:
        table.add_row(label, _shown(content) if isinstance(content, str) else content)
    return table


def labelled_sheet(text: str) -> Table:
    """The `sheet` of lines that begin with a label, or with its eleven columns of blanks."""
    return sheet((line[:11].strip(), line[11:]) for line in text.splitlines())


def markdown(text: str) -> RenderableType:
    """Markdown, set on a terminal, and elsewhere as it is written."""
    from rich.markdown import Markdown  # with its parser, which no other page needs

    return Markdown(text) if sys.stdout.isatty() else Text(text)


def _shown(text: str) -> RenderableType:
    if text.startswith("- "):
        listed = Table.grid(padding=(0, 1))
        listed.add_row("-", Prose(text[2:]))
        return listed
    return styled(text) if text in STYLES else Prose(text)


@dataclass(frozen=True)
class Prose:
    """Text whose words, if they are longer than a line, break behind one of a few characters.

    Attributes:
        breaks: These characters; those of paths and addresses.
    """

    text: str
    breaks: str = "/?&"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        yield Text(re.sub(r"\S+", lambda word: _broken(word[0], width, self.breaks), self.text))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, Text(self.text))


def _broken(word: str, width: int, breaks: str) -> str:
    if len(word) <= width:
        return word
    lines = [""]
    for part in re.findall(rf"[^{breaks}]*[{breaks}]|[^{breaks}]+", word):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def as_sheet(entries: Callable[P, Iterable[Entry]]) -> Callable[P, Table]:
    """Make what yields entries give their `sheet`."""

    @wraps(entries)
    def page(*args: P.args, **options: P.kwargs) -> Table:
        return sheet(entries(*args, **options))

    return page


def grid(*columns: str, gap: int = 3) -> Table:
    """A table whose numbers, on the right, are never broken; words are where there is no room."""
    table = Table.grid(padding=(0, gap))
    for justify in columns:
        table.add_column(justify=justify, no_wrap=justify == "right", overflow="fold")  # type: ignore[arg-type]
    return table


def styled(word: str) -> Text:
    """A verdict or decision in its colour."""
    return Text(word, style=STYLES.get(word, ""))


def gates(results: Iterable[GateResult], *, verbose: bool = False) -> RenderableType:
    """What held a version back first; what passed is counted, unless asked for."""
    results = tuple(results)
    waiting = [gate for gate in results if gate.word == "waits"]
    failed = [gate for gate in results if gate.word == "failed"]
    overridden = [gate for gate in results if gate.verdict == "overridden"]
    others = [gate for gate in results if gate.verdict not in {"failed", "overridden"}]
    passed = sum(gate.verdict == "passed" for gate in results)
    silent = [gate.title for gate in results if gate.verdict == "not measured"]
    told = [*failed, *waiting, *overridden, *(others if verbose else ())]
    counted = f"{passed} passed"
    if silent:
        counted += f", {len(silent)} not measured: {', '.join(silent)}"
    lines = Table.grid(padding=(0, 1))
    lines.add_column(no_wrap=True)
    lines.add_column(overflow="fold")
    for gate in told:
        kind = gate.word
        mark = Text(MARKS.get(kind, "·"), style=STYLES.get(kind, "dim"))
        lines.add_row(mark, _gate(gate, verbose))
    count = Text(counted if verbose else f"{counted} (--verbose shows all)", style="dim")
    return Group(lines, count) if told else count


def _gate(gate: GateResult, verbose: bool) -> Text:
    head = f"overridden by {gate.overridden}" if gate.overridden else gate.word
    text = Text.assemble((f"{gate.title}: {head}", STYLES.get(gate.word, "")))
    said = gate.message if verbose else gate.in_short
    return text.append(f" – {said}") if said else text
