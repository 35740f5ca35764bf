"""The files of a benchmark: plots, Markdown and the page, all from the cells."""

from __future__ import annotations

import io
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import matplotlib as mpl

from flows.benchmark_cells import current, read_cells
from flows.benchmark_page import page
from flows.benchmark_plots import plots
from flows.benchmark_summary import Block, blocks
from flows.benchmark_tables import Table, markdown
from flows.workspace import write_atomic

CELLS, RUNS, TABLE, PAGE, PLOTS = "cells.jsonl", "runs.jsonl", "table.md", "report.html", "plots"
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")


@dataclass(frozen=True)
class Attempt:
    """One call of the command, a line of `runs.jsonl`.

    Attributes:
        command: As it would be typed.
        started: ISO 8601, UTC.
        seconds: How long it took.
        cells: Measured in it, the failed ones among them.
        failed: How many failed.
        missing: How many of the planned ones are still not measured.
        processes: Worker processes, each on one thread.
        machine: Processors and system.
        versions: Of Python and the libraries that compute.
    """

    command: str
    started: str
    seconds: float
    cells: int
    failed: int
    missing: int
    processes: int
    machine: str
    versions: str

    def fact(self) -> str:
        """A sentence."""
        hours = f"{self.seconds / 3600:.1f} h" if self.seconds > 5400 else f"{self.seconds:.0f} s"
        return (
            f"{self.started[:16].replace('T', ' ')} UTC: `{self.command}`, {self.cells} cells "
            f"({self.failed} failed, {self.missing} left) in {hours} on {self.processes} "
            f"process(es), one thread each; {self.machine}; {self.versions}"
        )


def machine() -> str:
    """Processors and system, without the machine's name."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return f"{os.cpu_count()} × {model}, {platform.system()}"


def versions() -> str:
    """Python and the libraries that compute."""
    parts = [f"Python {platform.python_version()}", *(f"{n} {version(n)}" for n in LIBRARIES)]
    return ", ".join(parts)


def note_attempt(folder: Path, attempt: Attempt) -> None:
    """Add a line on a call of the command."""
    with (folder / RUNS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(attempt)) + "\n")


def write_report(folder: Path, missing: Table | None = None) -> list[Block]:
    """Write plots, Markdown and page of the cells in a folder; returns what they show.

    Nothing else goes in: the same cells give the same files.

    Raises:
        FileNotFoundError: The folder holds no cells.
    """
    cells = read_cells(folder / CELLS)
    if not cells:
        raise FileNotFoundError(f"{folder / CELLS} holds no cells; run a benchmark first")
    found = blocks(cells)
    facts = _facts(folder, len(current(cells)))
    pictures: dict[str, bytes] = {}
    (folder / PLOTS).mkdir(exist_ok=True)
    # Fixed ids and no date: the same figures give the same bytes.
    with mpl.rc_context({"svg.hashsalt": "benchmark"}):
        for block in found:
            for name, figure in plots(block):
                buffer = io.BytesIO()
                figure.savefig(buffer, format="svg", metadata={"Date": None})
                pictures[name] = buffer.getvalue()
                (folder / PLOTS / name).write_bytes(pictures[name])
    text = markdown(found, [f"{PLOTS}/{name}" for name in pictures], facts)
    write_atomic(folder / TABLE, text)
    write_atomic(folder / PAGE, page(found, pictures, facts, missing))
    return found


def _facts(folder: Path, cells: int) -> Sequence[str]:
    attempts: list[Attempt] = []
    if (folder / RUNS).exists():
        lines = (folder / RUNS).read_text(encoding="utf-8").splitlines()
        attempts = [Attempt(**json.loads(line)) for line in lines]
    hours = sum(attempt.seconds for attempt in attempts) / 3600
    total = f"{cells} cells; {len(attempts)} call(s) of the command, {hours:.1f} hours in all"
    return [total, *(attempt.fact() for attempt in attempts)]
