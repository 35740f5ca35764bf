"""What a person sees while a flow works: one line for each stage, a bar for the epochs.

Stages report here and know nothing of terminals. Off a terminal (a worker, a log file, CI) the bar
becomes a line every tenth of the way; `DAGMM_PROGRESS=off` (set by --quiet and --json) is silence.
"""

import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from data_checks.base.visible import visible

LINE_SECONDS = 5.0


def enabled() -> bool:
    """Whether progress is shown at all."""
    return os.environ.get("DAGMM_PROGRESS", "on") != "off"


def note(text: str, hang: int = 2) -> None:
    """One line on stderr; where nobody is left to read it, what goes on does not end by that.

    Args:
        text: What to say.
        hang: Columns by which it is indented where it needs a second line.
    """
    if enabled():
        with suppress(OSError):
            print(folded(f"  {visible(text)}", hang), file=sys.stderr, flush=True)  # noqa: T201


def folded(text: str, hang: int) -> str:
    """A text for stderr: on a terminal it breaks between words, and goes on indented."""
    if not sys.stderr.isatty():
        return text
    fold = textwrap.TextWrapper(
        os.get_terminal_size(sys.stderr.fileno()).columns or 80,
        subsequent_indent=" " * hang,
        break_long_words=False,  # a path that is longer is left to the terminal
        break_on_hyphens=False,
    )
    return "\n".join(fold.fill(line) for line in text.splitlines())


@contextmanager
def stage(name: str) -> Iterator[Callable[[str], None]]:
    """Announce a stage when it ends: its name, its seconds and its summary."""
    started, last = time.perf_counter(), [""]

    def report(text: str) -> None:
        last[0] = text

    yield report
    head = f"{name:<10} {time.perf_counter() - started:6.1f} s  "
    note(head + last[0], 2 + len(head))


@contextmanager
def bar(label: str) -> Iterator[Callable[[int, int | None, str], None]]:
    """A progress bar; the yielded function takes the count done, the total and a short text.

    Where the total is not known, a line every `LINE_SECONDS` takes the place of every tenth.
    """
    if not enabled():
        yield lambda _done, _total, _text: None
    elif sys.stderr.isatty():
        with _rich_bar(label) as update:
            yield update
    else:
        shown, written_at = [0], [time.monotonic()]

        def line(done: int, total: int | None, text: str) -> None:
            if total is None:
                if time.monotonic() - written_at[0] >= LINE_SECONDS:
                    written_at[0] = time.monotonic()
                    note(f"{label} {done:,}  {text}")
                return
            tenth = 10 * done // max(total, 1)
            if tenth > shown[0]:
                shown[0] = tenth
                note(f"{label} {done:,}/{total:,}  {text}")

        yield line


@contextmanager
def _rich_bar(label: str) -> Iterator[Callable[[int, int | None, str], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    display = Progress(
        TextColumn("  {task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
    task = display.add_task(label, total=None, text="")
    display.start()
    try:
        yield lambda done, total, text: display.update(task, completed=done, total=total, text=text)
    finally:
        with suppress(OSError):  # of a terminal that is gone
            display.stop()
