"""Splits of one detector on one table, trained as one batched model where a GPU makes that pay.

On a CPU nothing is trained together: there the splits have a process each.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

from flows.benchmarking.cells import Cell
from flows.benchmarking.protocols import BEST_COLUMN
from flows.benchmarking.work import Job, measure_cell, scored_cells


def batches(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs to be trained together: splits of one DAGMM on one table, enough of them for a GPU."""
    groups: dict[tuple[object, ...], list[Job]] = defaultdict(list)
    for job in jobs:
        if job.row.name != BEST_COLUMN and not job.row.variant:
            groups[job.data, job.protocol, job.grouped, job.row].append(job)
    return [group for group in groups.values() if len(group) > 1 and _worth_a_gpu(group)]


def _worth_a_gpu(jobs: Sequence[Job]) -> bool:
    from dagmm_model.detectors.dagmm import DAGMM
    from dagmm_model.engines.choice import device_for, multiplications

    job = jobs[0]
    detector = job.row.unfitted(job.data.dataset, job.seed)
    if not isinstance(detector, DAGMM):
        return False
    settings = job.row.settings_on(job.data)
    members = settings.members * len(jobs)
    work = multiplications(settings, job.data.rows // 2, job.data.columns, members)
    return device_for(detector.engine, detector.device, work).name != "cpu"


def on_gpu(groups: Sequence[Sequence[Job]], deadline: float) -> Iterator[tuple[Job, list[Cell]]]:
    """Results of one group after the other, in this process; none begins after the deadline."""
    for group in groups:
        if time.monotonic() < deadline:
            yield from measure_together(group)


def measure_together(jobs: Sequence[Job]) -> list[tuple[Job, list[Cell]]]:
    """As `dagmm_model`'s fit for each split, in one training; the seconds are each one's share.

    Where something goes wrong, each cell is measured by itself and says so itself.
    """
    from dagmm_model.detectors.batched import fit_many

    started = time.process_time()
    try:
        detectors = [job.row.unfitted(job.data.dataset, job.seed) for job in jobs]
        fit_many(detectors, [job.data.take(job.split().train) for job in jobs])
        seconds = (time.process_time() - started) / len(jobs)
        pairs = zip(jobs, detectors, strict=True)
        return [(job, list(scored_cells(job, detector, seconds))) for job, detector in pairs]
    except Exception:  # a detector may fail in any way; whose it is shows when it is alone
        return [(job, measure_cell(job)) for job in jobs]
