"""A Parquet table divided into tasks, by row: who reads what, and which row of the table it is.

Row numbers are those of a reader that takes the files in order of their names, so that a row has
the same number whoever reads it, and however often.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from data_checks.base.errors import EngineError, SourceError
from data_checks.base.locations import is_url
from data_checks.contract.model import Contract
from data_checks.readers.opening import store_errors, url_filesystem
from data_checks.readers.parquet import parquet_parts, read_parquet_rows
from data_checks.sources.integrity import changed, file_state, shown
from data_checks.sources.reading import columns_read, format_of, numbered_slices

TASK_ROWS = 1_000_000
"""Most rows of a task; its results are held until it is done."""
SMALLEST_TASK_ROWS = 20_000
"""A task costs some hundredths of a second: fewer rows are not worth one."""
TASKS_A_CORE = 3
"""So that a slow task delays the end by no more than a third."""


@dataclass(frozen=True)
class Span:
    """Rows `start` to `stop` of a file; the first of them is row `first` of the table."""

    file: str
    start: int
    stop: int
    first: int


@dataclass(frozen=True)
class Plan:
    """A table's tasks.

    Attributes:
        tasks: spans of each, in the order of the table's rows.
        columns: to read.
        states: what tells whether a file changed, by name.
    """

    tasks: tuple[tuple[Span, ...], ...]
    columns: tuple[str, ...]
    states: tuple[tuple[str, str], ...]

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return sum(rows_of(task) for task in self.tasks)

    @property
    def digest(self) -> str:
        """Of tasks, columns and states: equal plans of equal files."""
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def check_unchanged(self) -> None:
        """Compare the files with what they were when the plan was made.

        Raises:
            SourceError: naming the first file that changed.
        """
        for name, before in self.states:
            if _state(name) != before:
                raise changed(name)


def plan_tasks(contract: Contract, location: str, cores: int, *, with_label: bool = True) -> Plan:
    """Divide a table, where possible between row groups.

    Raises:
        EngineError: the table is not Parquet, whose rows alone can be found without reading all.
        SourceError: a file cannot be read, or its columns are not those of the contract.
    """
    if (kind := format_of(contract, location)) != "parquet":
        raise EngineError(
            f"{shown(location)}: the engine spark divides Parquet (a file, folder or glob), this "
            f"is {kind}; write it as Parquet, or use the engine local."
        )
    columns = columns_read(contract, with_label=with_label)
    parts = parquet_parts(location, columns)
    rows = sum(sum(groups) for _, groups in parts)
    size = min(TASK_ROWS, max(SMALLEST_TASK_ROWS, -(-rows // (TASKS_A_CORE * cores))))
    states = tuple((name, _state(name)) for name, _ in parts)
    return Plan(tuple(_grouped(_spans(parts, size), size)), tuple(columns.wanted), states)


def rows_of(task: Sequence[Span]) -> int:
    """Rows of a task."""
    return sum(span.stop - span.start for span in task)


def read_task(
    task: Sequence[Span], columns: Sequence[str], size: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Raw rows of a task, at most `size` at a time, with the number of the first.

    Raises:
        SourceError: naming the file.
    """
    for span in task:
        first = span.first
        for batch in read_parquet_rows(span.file, span.start, span.stop, columns):
            yield from numbered_slices(batch, first, size)
            first += batch.num_rows
        if first != span.first + span.stop - span.start:
            raise SourceError(f"{shown(span.file)}: rows are missing; the file has changed.")


def _spans(parts: Sequence[tuple[str, Sequence[int]]], size: int) -> Iterator[Span]:
    """Row groups; those larger than `size` in equal pieces."""
    first = 0
    for name, groups in parts:
        start = 0
        for rows in filter(None, groups):
            pieces = -(-rows // size)
            edges = [start + rows * piece // pieces for piece in range(pieces + 1)]
            for low, high in itertools.pairwise(edges):
                yield Span(name, low, high, first)
                first += high - low
            start += rows


def _grouped(spans: Iterator[Span], size: int) -> Iterator[tuple[Span, ...]]:
    task: list[Span] = []
    for span in spans:
        if task and rows_of([*task, span]) > size:
            yield tuple(task)
            task = []
        if task and task[-1].file == span.file:
            span = Span(span.file, task[-1].start, span.stop, task[-1].first)
            task.pop()
        task.append(span)
    if task:
        yield tuple(task)


def _state(name: str) -> str:
    if not is_url(name):
        return repr(file_state(name))
    filesystem, path = url_filesystem(name)
    with store_errors(name):
        filesystem.invalidate_cache()
        return str(filesystem.ukey(path))
