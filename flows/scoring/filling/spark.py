"""Scoring on Spark: each task judges some rows and writes them as one part of the result.

Executors run what a local run's threads run (`flows.scoring.rows.Judge`) on the same numbered rows,
and write the same parts into the same folder; only who does it differs. Driver and executors must
therefore see the input and the output's folder under the same name.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagmm_model.base.processors import blas_threads
from dagmm_model.detectors.bundle import ScoringBundle
from data_checks.base.errors import SourceError
from data_checks.base.scratch import scratch_folder
from data_checks.contract.model import Contract
from data_checks.sources.reading import locate
from data_checks.spark.plan import Span, plan_tasks, read_task, rows_of
from data_checks.spark.tasks import run_tasks
from flows.common import progress
from flows.scoring.filling.parts import Parts, SourceMoved, write_part
from flows.scoring.rows import Judge
from flows.scoring.version import read_bundle
from flows.stages.workspace import write_atomic

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from flows.common.settings import Settings

PLAN = "plan.json"
"""Beside the parts: which tasks they are of."""


@dataclass(frozen=True)
class ModelFiles:
    """A model on its way to executors.

    Attributes:
        files: content of the model's bundle by name, broadcast.
        digest: of the bundle.
    """

    files: Any = field(compare=False)
    digest: str


def broadcast(spark: SparkSession, bundle: Path) -> ModelFiles:
    """Send a bundle to the executors."""
    files = {
        str(path.relative_to(bundle)): path.read_bytes()
        for path in sorted(bundle.rglob("*"))
        if path.is_file()
    }
    return ModelFiles(spark.sparkContext.broadcast(files), _digest(files))


@lru_cache(maxsize=1)
def unpacked(model: ModelFiles) -> tuple[ScoringBundle, Contract]:
    """The model, loaded once for each process of an executor."""
    with scratch_folder() as folder:
        for name, content in model.files.value.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return read_bundle(folder)


@dataclass(frozen=True)
class Numbered:
    """A task and its place among all of them."""

    number: int
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class ScoreTask:
    """What an executor does with a task.

    Attributes:
        judge: That of the driver, without the model.
        folder: Of the parts.
        suffix: Format of the parts.
        plan: Digest of the plan that the parts are of.
    """

    model_files: ModelFiles
    judge: Judge
    columns: tuple[str, ...]
    folder: Path
    suffix: str
    plan: str

    def __call__(self, task: Numbered) -> dict[str, float]:
        """Judge the task's rows and write them; gives the seconds of processor time."""
        started = time.process_time()
        self._check_folder()
        bundle, contract = unpacked(self.model_files)
        judge = replace(self.judge, bundle=bundle, contract=contract)
        with blas_threads().limit(limits=1):
            slices = [judge(*raw) for raw in read_task(task.spans, self.columns, judge.slice_rows)]
        self._check_folder()
        write_part(self.folder, task.number, self.suffix, slices)
        return {"seconds": time.process_time() - started}

    def _check_folder(self) -> None:
        """A task that outlived its run must not write into the next one's."""
        try:
            digest = json.loads((self.folder / PLAN).read_text("utf-8"))["digest"]
        except FileNotFoundError:
            digest = None
        if digest != self.plan:
            raise SourceError(
                f"{self.folder}: not the folder that the run began with; driver and executors must "
                "see the output's folder under one name"
            )


def fill_on_spark(
    spark: SparkSession,
    parts: Parts,
    judge: Judge,
    bundle: Path,
    source: str,
    settings: Settings,
) -> float:
    """Score on Spark what is not finished yet.

    Returns:
        Processor seconds of the tasks' Python processes.

    Raises:
        SourceMoved: The finished parts are of other rows.
        SourceError: The source cannot be read, or changed while it was read.
        EngineError: The source is not Parquet.
    """
    contract, record = judge.contract, parts.folder / PLAN
    before = json.loads(record.read_text("utf-8")) if parts.records else {}
    cores = before.get("cores", spark.sparkContext.defaultParallelism)
    location = locate(contract, source, settings.data_dir)
    plan = plan_tasks(contract, location, cores, with_label=False)
    if before and before["digest"] != plan.digest:
        raise SourceMoved("the source has changed since the run was interrupted")
    write_atomic(record, json.dumps({"digest": plan.digest, "cores": cores}))
    nothing: Any = None
    work = ScoreTask(
        broadcast(spark, bundle),
        replace(judge, bundle=nothing, contract=nothing, checksums=False),
        plan.columns,
        parts.folder.resolve(),
        parts.suffix,
        plan.digest,
    )
    waiting = [
        Numbered(number, spans)
        for number, spans in enumerate(plan.tasks)
        if number not in parts.records
    ]
    started, total = time.perf_counter(), sum(rows_of(task.spans) for task in waiting)
    with progress.bar("tasks") as show:

        def tell(done: int, tasks: int) -> None:
            rate = total * done / max(tasks, 1) / max(time.perf_counter() - started, 1e-9)
            show(done, tasks, f"{rate:,.0f} rows/s")

        answers = run_tasks(spark, waiting, work, tell)
    parts.reload()
    try:
        plan.check_unchanged()
    except SourceError:
        parts.clear()
        raise
    return sum(answer["seconds"] for answer in answers)


def _digest(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()
