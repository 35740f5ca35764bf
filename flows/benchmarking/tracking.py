"""The MLflow side of a benchmark: one parent run for a folder, one child for each cell."""

from __future__ import annotations

import getpass
import hashlib
import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from flows.benchmarking.cells import FIGURES, Cell
from flows.benchmarking.results.report import CELLS, PAGE, PLOTS, RUNS, TABLE, Attempt
from flows.common.settings import Settings
from flows.tracking import runs, tracking
from flows.tracking.queries import equals, pages

EXPERIMENT = "dagmm-benchmark"
FOLDER_TAG, CELL_TAG = "dagmm.benchmark_folder", "dagmm.cell"
PARENT_TAG = "mlflow.parentRunId"
PLACE = ("dataset", "protocol", "group_duplicates", "seed", "detector")
"""Names of `Cell.split` as parameters."""


class BenchmarkRuns:
    """The parent run of an output folder, found again by every call, and its children."""

    def __init__(self, client: MlflowClient, settings: Settings, folder: Path) -> None:
        self.client, self._folder = client, folder
        self._experiment = tracking.experiment_id(client, settings, EXPERIMENT)
        self._settings = settings
        self.parent = ""
        self._children: dict[str, str] = {}

    @property
    def url(self) -> str:
        """Page of the parent."""
        return tracking.run_url(self._settings, self._experiment, self.parent)

    def open(self) -> str:
        """The parent run: of an earlier call for the same folder, or a new one."""
        name = hashlib.sha256(str(self._folder).encode()).hexdigest()[:16]
        tags = {FOLDER_TAG: name}
        self.parent = runs.begin(
            self.client, self._experiment, "benchmark", "dagmm benchmark", tags, FOLDER_TAG
        )
        query = equals(f"tags.`{PARENT_TAG}`", self.parent)
        children = pages(self.client.search_runs, [self._experiment], query)
        self._children = {run.data.tags[CELL_TAG]: run.info.run_id for run in children}
        return self.parent

    def log(self, cell: Cell) -> None:
        """Write a cell's run, complete; a run that the same cell left before is written over."""
        end = int(datetime.fromisoformat(cell.time).timestamp() * 1000)
        start = end - int(1000 * ((cell.seconds or 0.0) + (cell.score_seconds or 0.0)))
        run_id = self._child(cell, start)
        measured = {n: getattr(cell, n) for n in (*FIGURES, "seconds", "score_seconds")}
        place = dict(zip(PLACE, cell.split, strict=True))
        digests = {"settings_sha256": cell.settings_sha256, "data_sha256": cell.data_sha256}
        texts = {"dagmm.error": cell.reason, "dagmm.remarks": json.dumps(cell.remarks)}
        self.client.log_batch(
            run_id,
            metrics=[Metric(n, float(v), end, 0) for n, v in measured.items() if v is not None],
            params=[Param(name, str(value)) for name, value in (place | digests).items()],
            tags=[RunTag(name, text[:5000]) for name, text in texts.items()],
        )
        self.client.set_terminated(run_id, "FAILED" if cell.reason else "FINISHED", end)

    def _child(self, cell: Cell, start: int) -> str:
        identity = hashlib.sha256(json.dumps(cell.key).encode()).hexdigest()[:32]
        if identity not in self._children:
            grouped = "-grouped" if cell.grouped else ""
            name = f"{cell.dataset}-{cell.detector}-{cell.protocol}{grouped}-seed{cell.seed}"
            tags = {PARENT_TAG: self.parent, CELL_TAG: identity, "mlflow.user": getpass.getuser()}
            run = self.client.create_run(
                self._experiment, start_time=start, tags=tags, run_name=name
            )
            self._children[identity] = run.info.run_id
        return self._children[identity]

    def log_report(self, attempt: Attempt, planned: int) -> None:
        """Cells, tables, page and plots as artifacts of the parent, with what is missing."""
        for name in (CELLS, RUNS, TABLE, PAGE):
            self.client.log_artifact(self.parent, str(self._folder / name))
        self.client.log_artifacts(self.parent, str(self._folder / PLOTS), PLOTS)
        tracking.log_metrics(
            self.client,
            self.parent,
            {"cells/planned": planned, "cells/missing": attempt.missing}
            | {"cells/failed": attempt.failed, "seconds": attempt.seconds},
        )
        text = json.dumps(asdict(attempt))
        tracking.set_tags(self.client, self.parent, {"dagmm.attempt": text[:5000]})
