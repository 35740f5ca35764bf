"""Cells of a benchmark, in balanced order, on as many processes as the machine carries."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from statistics import median

import psutil

from dagmm_model.base.processors import processors
from flows.benchmarking.cells import Cell
from flows.benchmarking.work import Job, measure_cell
from flows.services.helper import end_with

BASE_MEMORY = 600e6
"""Bytes of a worker with its libraries."""
COPIES = 8
"""Copies of the matrix, in bytes of float64, that a worker may hold: halves, scaled, latent."""
SECONDS_PER_NUMBER = 1e-5
"""Guess for a detector that was never timed."""


def balanced_order(jobs: Sequence[Job], known: Sequence[Cell]) -> list[Job]:
    """Seed by seed, within a seed the quickest first: a table cut short is balanced.

    Times of `known` cells are the estimates, on other data sets where there are none on the same.
    """
    times: dict[tuple[str, ...], list[float]] = {}
    for cell in known:
        if cell.seconds is not None:
            for place in ((cell.detector, cell.dataset), (cell.detector,)):
                times.setdefault(place, []).append(cell.seconds)

    def seconds(job: Job) -> float:
        label = job.row.label
        timed = times.get((label, job.data.dataset)) or times.get((label,))
        return median(timed) if timed else job.data.size * SECONDS_PER_NUMBER

    return sorted(jobs, key=lambda job: (job.seed, seconds(job)))


def memory_of(job: Job) -> float:
    """Bytes that a worker may need for a cell."""
    return BASE_MEMORY + COPIES * 8 * job.data.size


def processes_for(jobs: Sequence[Job]) -> int:
    """One process for each processor, as far as the free memory goes for the smallest cells."""
    least = min((memory_of(job) for job in jobs), default=BASE_MEMORY)
    return max(1, min(processors(), int(psutil.virtual_memory().available / least), len(jobs)))


def work_off(
    jobs: Sequence[Job],
    processes: int,
    deadline: float,
    work: Callable[[Job], list[Cell]] = measure_cell,
) -> Iterator[tuple[Job, list[Cell]]]:
    """Results as they come in. No job is started after the deadline; started ones are finished.

    Each worker is a pool of its own: a process that dies fails its own cell only. A cell whose
    memory is not free yet waits for others to finish; with nothing beside it, it is started.

    Args:
        jobs: In the order in which they are started.
        processes: Workers at a time, each on one thread.
        deadline: Time of `time.monotonic`.
        work: Done for each job in a worker.
    """
    waiting = deque(jobs)
    idle = [_worker() for _ in range(processes)]
    running: dict[Future[list[Cell]], tuple[ProcessPoolExecutor, Job]] = {}
    memory = psutil.virtual_memory().available

    def fits(job: Job) -> bool:
        return (
            not running or memory_of(job) + sum(memory_of(j) for _, j in running.values()) <= memory
        )

    ready: list[tuple[Job, list[Cell]]] = []
    try:
        while True:
            while idle and waiting and fits(waiting[0]) and time.monotonic() < deadline:
                worker, job = idle.pop(), waiting.popleft()
                running[worker.submit(work, job)] = (worker, job)
            yield from ready  # the workers are busy again while these are written down
            ready = []
            if not running:
                return
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                worker, job = running.pop(future)
                try:
                    cells = future.result()
                except BrokenProcessPool:
                    cells = [job.cell(reason="its process was killed: out of memory?")]
                    worker.shutdown()
                    worker = _worker()
                idle.append(worker)
                ready.append((job, cells))
    finally:
        for worker in [*idle, *(worker for worker, _ in running.values())]:
            worker.shutdown(wait=False, cancel_futures=True)
        if running:  # interrupted: nobody waits for these results, and the exit would
            for child in multiprocessing.active_children():
                child.terminate()


def _worker() -> ProcessPoolExecutor:
    # Spawned, because a fork of a process with threads may hang; one thread each from the start.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_end_with_the_parent)


def _end_with_the_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=end_with, args=(parent.pid,), daemon=True).start()
