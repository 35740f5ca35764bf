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

from dagmm_model.evaluation.published import read_published
from flows.benchmarking.cells import Cell, current, read_cells
from flows.benchmarking.results.plots import plots
from flows.benchmarking.results.summary import Block, blocks
from flows.benchmarking.results.tables import Table
from flows.benchmarking.results.text import results_markdown, results_page
from flows.stages.workspace import write_atomic

CELLS, RUNS, TABLE, PAGE, PLOTS = "cells.jsonl", "runs.jsonl", "table.md", "report.html", "plots"
PUBLISHED = "published.csv"
"""Published figures in place of the packaged ones, where a suite came with its own."""
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")


@dataclass(frozen=True)
class Attempt:
    """One call of the command, a line of `runs.jsonl`.

    Attributes:
        command: As it would be typed.
        started: ISO 8601, UTC.
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
            f"({self.failed} failed, {self.missing} left) in {hours}, {self.processes} at a time "
            f"on one thread each; {self.machine}; {self.versions}"
        )


def machine() -> str:
    """Processors and system, without the machine's name."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return f"{os.cpu_count()} × {model}, {platform.system()}"


def library_versions() -> str:
    """Python and the libraries that compute."""
    parts = [f"Python {platform.python_version()}", *(f"{n} {version(n)}" for n in LIBRARIES)]
    return ", ".join(parts)


def note_attempt(folder: Path, attempt: Attempt) -> None:
    """Add a line on a call of the command."""
    with (folder / RUNS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(attempt)) + "\n")


def write_results(folder: Path, missing: Table | None = None) -> list[Block]:
    """Write plots, Markdown and page of the cells in a folder; returns what they show.

    Nothing else goes in: the same cells give the same files.

    Raises:
        FileNotFoundError: The folder holds no cells.
    """
    cells = read_cells(folder / CELLS)
    if not cells:
        raise FileNotFoundError(f"{folder / CELLS} holds no cells; run a benchmark first")
    own = folder / PUBLISHED
    measured = blocks(cells, read_published(own if own.exists() else None))
    facts = _facts(folder, current(cells))
    pictures: dict[str, bytes] = {}
    (folder / PLOTS).mkdir(exist_ok=True)
    # Fixed ids and no date: the same figures give the same bytes.
    with mpl.rc_context({"svg.hashsalt": "benchmark", "svg.fonttype": "none"}):
        for block in measured:
            for name, figure in plots(block):
                buffer = io.BytesIO()
                figure.savefig(buffer, format="svg", metadata={"Date": None})
                pictures[name] = buffer.getvalue()
                (folder / PLOTS / name).write_bytes(pictures[name])
    text = results_markdown(measured, [f"{PLOTS}/{name}" for name in pictures], facts)
    write_atomic(folder / TABLE, text)
    write_atomic(folder / PAGE, results_page(measured, pictures, facts, missing))
    return measured


def _facts(folder: Path, cells: Sequence[Cell]) -> list[str]:
    """When and for how long was measured, and every call of the command that came to its end."""
    hours = sum((c.seconds or 0.0) + (c.score_seconds or 0.0) for c in cells) / 3600
    dates = sorted(cell.time[:10] for cell in cells if cell.time)
    measured = f", measured {dates[0]} to {dates[-1]}" if dates else ""
    total = f"{len(cells)} cells, {hours:.1f} hours of fitting and scoring on one thread{measured}"
    runs = folder / RUNS
    lines = runs.read_text(encoding="utf-8").splitlines() if runs.exists() else []
    return [total, *(Attempt(**json.loads(line)).fact() for line in lines)]
