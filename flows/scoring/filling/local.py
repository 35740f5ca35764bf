"""Scoring in threads of this process: slices of rows, a few at a time, in the source's order."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from dagmm_model.base.processors import blas_threads, processors
from data_checks.contract.model import Contract
from data_checks.sources.reading import count_rows, locate, numbered_slices, read_batches
from flows.common import progress
from flows.common.settings import Settings
from flows.scoring.filling.parts import Parts
from flows.scoring.judged_part import JudgedPart
from flows.scoring.rows import Judge

PART_ROWS = 1_000_000
"""Most rows of a part, which are held until it is written."""


def fill_locally(parts: Parts, judge: Judge, source: str, settings: Settings) -> float:
    """Score what is not finished yet, part by part.

    Returns:
        Processor seconds of other processes: none.

    Raises:
        SourceMoved: The finished parts are of other rows.
        SourceError: The source cannot be read.
    """
    contract = judge.contract
    location = locate(contract, source, settings.data_dir)
    slices = parts.skip_finished(_slices(contract, location, judge.slice_rows))
    before = parts.total.rows
    total, started = count_rows(contract, location), time.perf_counter()
    with progress.bar("rows") as show:
        part: list[JudgedPart] = []
        begun, rows = started, before
        for judged in judged_in_order(judge, slices):
            part.append(judged)
            rows += judged.counts.rows
            now = time.perf_counter()
            held = sum(each.counts.rows for each in part)
            if now - begun >= settings.checkpoint_seconds or held >= PART_ROWS:
                parts.add(part)
                part, begun = [], now
            show(rows, total, f"{(rows - before) / (now - started):,.0f} rows/s")
        if part:
            parts.add(part)
    return 0.0


def _slices(contract: Contract, location: str, size: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Raw rows, at most `size` at a time, with the number of the first."""
    first = 0
    for batch in read_batches(contract, location, with_label=False):
        yield from numbered_slices(batch, first, size)
        first += batch.num_rows


def judged_in_order(judge: Judge, slices: Iterable[tuple[int, Any]]) -> Iterator[JudgedPart]:
    """Judge slices in threads, each with one processor, no more ahead than there are threads."""
    workers = processors()
    waiting: deque[Future[JudgedPart]] = deque()
    with blas_threads().limit(limits=1), ThreadPoolExecutor(workers) as pool:
        for first, raw in slices:
            waiting.append(pool.submit(judge, first, raw))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
