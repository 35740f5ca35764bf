"""The `benchmark` flow: every detector on every data set over many splits, told apart from luck."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from dagmm_model.evaluation.published import read_published
from flows.benchmarking.batched_splits import batches, on_gpu
from flows.benchmarking.cells import append_cells, done, read_cells
from flows.benchmarking.config import BenchmarkConfig, planned
from flows.benchmarking.data import Prepared, prepare_data_set
from flows.benchmarking.pool import balanced_order, processes_for, work_off
from flows.benchmarking.protocols import Limits
from flows.benchmarking.results.details import missing_cells as missing_table
from flows.benchmarking.results.league import standings, trainings
from flows.benchmarking.results.report import (
    CELLS,
    PAGE,
    PUBLISHED,
    Attempt,
    library_versions,
    machine,
    note_attempt,
    write_results,
)
from flows.benchmarking.results.text import overviews
from flows.benchmarking.suite import MOST_ROWS, prepare_table, tables_of
from flows.benchmarking.tracking import BenchmarkRuns
from flows.benchmarking.work import Job
from flows.common import progress
from flows.common.settings import Settings
from flows.common.value_types import Frozen
from flows.notify.failures import TOLD
from flows.orchestration.at_home import at_home
from flows.stages.workspace import alone
from flows.tracking import tracking
from flows.tracking.ending import opened


class BenchmarkResult(Frozen):
    """What a call of the command did, and where the result is."""

    planned: int
    known_before: int
    measured: int
    failed: dict[str, str]
    missing: int
    output: str
    page: str
    run_url: str
    overview: str
    standings: list[dict[str, Any]]
    training: list[dict[str, Any]]
    results: list[dict[str, Any]]

    def text(self) -> str:
        """What the terminal shows under the overview."""
        counts = f"{self.measured} cells measured, {self.known_before} known before"
        lines = [f"Cells      {counts}, {self.missing} of {self.planned} missing"]
        lines += [f"Failed     {place}: {reason}" for place, reason in self.failed.items()]
        if self.missing:
            lines.append("Next       the same command measures the missing cells")
        return "\n".join([*lines, f"Page       {self.page}", f"MLflow     {self.run_url}"])


@task(name="prepare", cache_policy=NO_CACHE)
def prepare_data(dataset: str, settings: Settings) -> Prepared:
    """Ingest, validate and encode one data set."""
    with progress.stage(f"data {dataset}") as report:
        data = prepare_data_set(dataset, settings.data_dir, settings.workspace)
        report(f"{data.rows:,} rows, {data.columns} columns")
    return data


@task(name="prepare-suite", cache_policy=NO_CACHE)
def prepare_suite(config: BenchmarkConfig, settings: Settings, folder: Path) -> list[Prepared]:
    """Check and lay out the tables of a suite; published figures beside them are kept."""
    assert config.suite is not None
    files = tables_of(config.suite, config.datasets, settings.data_dir)
    limits = Limits(MOST_ROWS, config.train_rows)
    with progress.stage("tables") as report:
        tables = [prepare_table(file, settings.workspace, limits) for file in files]
        report(f"{len(tables)} tables, {sum(table.rows for table in tables):,} rows")
    published = files[0].parent / PUBLISHED
    if published.exists():
        read_published(published)  # its faults are said before the hours of measuring
        shutil.copyfile(published, folder / PUBLISHED)
    return tables


@task(name="measure", cache_policy=NO_CACHE)
def measure(
    jobs: Sequence[Job], processes: int, minutes: float | None, folder: Path, runs: BenchmarkRuns
) -> dict[Job, str]:
    """Work off the cells until they are done or the time is over.

    Returns:
        Those that were measured, with why they failed or an empty string.
    """
    reasons: dict[Job, str] = {}
    deadline = time.monotonic() + 60 * (float("inf") if minutes is None else minutes)
    shown = create_progress_artifact(0.0, key="benchmark-progress", description="cells measured")
    told = time.monotonic()
    gpu_batches = batches(jobs)
    together = {job for batch in gpu_batches for job in batch}
    single = [job for job in jobs if job not in together]
    with progress.bar("cells") as bar:
        for job, cells in chain(
            on_gpu(gpu_batches, deadline), work_off(single, processes, deadline)
        ):
            # First the run, then the line: a kill between them measures the cell again, and its
            # run is found again.
            for cell in cells:
                runs.log(cell)
            append_cells(folder / CELLS, cells)
            reasons[job] = cells[0].reason
            if reasons[job]:
                progress.note(f"failed: {job.data.dataset}, {job.row.label}: {reasons[job]}")
            bar(len(reasons), len(jobs), f"{job.data.dataset} {job.row.label} seed {job.seed}")
            if time.monotonic() - told > 5:
                update_progress_artifact(shown, 100 * len(reasons) / len(jobs))
                told = time.monotonic()
    return reasons


def _run_name() -> str:
    """Readable in Prefect's list of runs: what is compared, over how many splits."""
    given = flow_run.parameters["config"]
    config = given if isinstance(given, dict) else given.model_dump()
    tables = config.get("suite") or "-".join(config.get("datasets") or ["all"])
    return f"{Path(tables).name}-{config.get('seeds') or 'all'}-seeds"


@at_home
@flow(name="benchmark", flow_run_name=_run_name, log_prints=False, **TOLD)
def benchmark(config: BenchmarkConfig) -> BenchmarkResult:
    """Measure what is not known yet, then write tables, plots and the page of all that is."""
    settings = Settings()
    started, clock = datetime.now(UTC), time.perf_counter()
    folder = Path(config.output or settings.home / "benchmark").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with alone(
        folder / ".lock", f"another benchmark is writing to {folder}; give another --output"
    ):
        if config.suite is not None:
            tables = prepare_suite(config, settings, folder)
        else:
            tables = [prepare_data(dataset, settings) for dataset in config.datasets]
        jobs = planned(config, tables)
        known = read_cells(folder / CELLS)
        finished = done(known)
        waiting = balanced_order([job for job in jobs if job.key not in finished], known)
        processes = config.processes or processes_for(waiting)
        runs = BenchmarkRuns(tracking.connect(settings), settings, folder)
        with opened(runs.client, runs.open):
            reasons = measure(waiting, processes, config.budget, folder, runs)
            remaining = [job for job in waiting if job not in reasons]
            failed = {" ".join(map(str, j.cell().split)): why for j, why in reasons.items() if why}
            attempt = Attempt(
                command=config.command(),
                started=started.isoformat(timespec="seconds"),
                seconds=time.perf_counter() - clock,
                cells=len(reasons),
                failed=len(failed),
                missing=len(remaining),
                processes=processes,
                machine=machine(),
                versions=library_versions(),
            )
            note_attempt(folder, attempt)
            blocks = write_results(folder, missing_table([job.cell().split for job in remaining]))
            runs.log_report(attempt, len(jobs))
    overview = overviews(blocks)
    create_markdown_artifact(
        key="benchmark",
        markdown=overview,
        description=f"{len(jobs)} cells, {len(remaining)} missing",
    )
    create_link_artifact(key="benchmark-run", link=runs.url, link_text="MLflow run with its cells")
    return BenchmarkResult(
        planned=len(jobs),
        known_before=len(jobs) - len(waiting),
        measured=attempt.cells,
        failed=failed,
        missing=len(remaining),
        output=str(folder),
        page=str(folder / PAGE),
        run_url=runs.url,
        overview=overview,
        standings=[asdict(standing) for standing in standings(blocks)],
        training=[training.facts() for training in trainings(blocks)],
        results=[line for block in blocks for line in block.facts()],
    )
