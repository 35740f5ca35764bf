"""A batch of Great Expectations, judged by a registered model: in this process or on Spark."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from dagmm_model.base.processors import blas_threads
from dagmm_model.detectors.bundle import ScoringBundle
from data_checks.contract.model import Contract
from data_checks.sources.reading import numbered_slices
from flows.common.settings import Settings
from flows.scoring.filling.local import judged_in_order
from flows.scoring.filling.spark import ModelFiles, broadcast, unpacked
from flows.scoring.judged_part import JudgedPart
from flows.scoring.rows import Judge
from flows.scoring.run import TOP
from flows.scoring.version import read_bundle, resolve_version, version_folder

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame as SparkFrame

SHOWN = 20
"""Most rows that a finding names, as many as Great Expectations shows of a column."""


@dataclass
class Finding:
    """What a model makes of a batch.

    Attributes:
        model: Resolved version, `models:/NAME/VERSION`.
        threshold: Of the energy, above which a row is an anomaly.
        anomalies: Rows above the threshold.
        unscored: Rows that the model cannot take.
        causes: Why, by count.
        worst: The anomalies of the highest energies: energy, reasons, and the row where rows have
            a name or a number.
    """

    model: str
    threshold: float
    rows: int = 0
    anomalies: int = 0
    unscored: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    worst: list[dict[str, Any]] = field(default_factory=list)

    def add(self, judged: JudgedPart) -> None:
        """Count a slice of rows."""
        self.rows += judged.counts.rows
        self.anomalies += judged.counts.anomalies
        self.unscored += judged.counts.rows - judged.counts.scored
        self.causes.update(judged.counts.causes)
        flagged = judged.scored.filter(judged.scored.column("is_anomaly"))
        order = pc.sort_indices(flagged, [("energy", "descending")])[:SHOWN]
        self._keep(flagged.take(order).select(["row_id", "energy", "reasons"]).to_pylist())

    def join(self, other: dict[str, Any]) -> None:
        """Count what was found elsewhere: the attributes of a finding."""
        self.rows += other["rows"]
        self.anomalies += other["anomalies"]
        self.unscored += other["unscored"]
        self.causes.update(other["causes"])
        self._keep(other["worst"])

    def _keep(self, rows: list[dict[str, Any]]) -> None:
        self.worst = sorted([*self.worst, *rows], key=lambda row: -row["energy"])[:SHOWN]


def judge_frame(frame: pd.DataFrame, model: str) -> Finding:
    """Judge the rows of a data frame; they are named by its index.

    Raises:
        UsageError: There is no such model.
        SealBroken: Its files are not those that were registered.
        SourceError: A column of the model is not there.
    """
    settings = Settings()
    resolved = resolve_version(model, settings)
    with version_folder(resolved, settings) as folder:
        judge = _judge(*read_bundle(folder), resolved)
    finding, size = _nothing(judge), judge.slice_rows
    slices = ((start, frame.iloc[start : start + size]) for start in range(0, len(frame), size))
    for judged in judged_in_order(judge, slices):
        finding.add(judged)
    for row in finding.worst:
        row["row"] = str(frame.index[row.pop("row_id")])
    return finding


def judge_spark(frame: SparkFrame, model: str) -> Finding:
    """Judge the rows of a Spark data frame where they are; they have no number there.

    Executors on other machines need this package; only counts and the worst rows come back.

    Raises:
        UsageError: There is no such model.
        SealBroken: Its files are not those that were registered.
    """
    settings = Settings()
    resolved = resolve_version(model, settings)
    with version_folder(resolved, settings) as folder:
        judge = _judge(*read_bundle(folder), resolved)
        task = PartitionTask(broadcast(frame.sparkSession, folder), resolved)
    wanted = {column.name for column in judge.contract.feature_columns}
    there = [f"`{name.replace('`', '``')}`" for name in frame.columns if name in wanted]
    finding = _nothing(judge)
    if len(there) < len(wanted):  # raises, and names those that are missing
        judge(0, pa.RecordBatch.from_pydict({name: [] for name in frame.columns}))
    for answer in frame.select(there).mapInArrow(task, "finding string").collect():
        finding.join(json.loads(answer["finding"]))
    for row in finding.worst:
        del row["row_id"]
    return finding


@dataclass(frozen=True)
class PartitionTask:
    """What an executor does with a partition: one line of JSON comes back."""

    model_files: ModelFiles
    model: str

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Judge the partition's rows."""
        judge = _judge(*unpacked(self.model_files), self.model)
        finding = _nothing(judge)
        with blas_threads().limit(limits=1):
            for batch in batches:
                for start, rows in numbered_slices(batch, 0, judge.slice_rows):
                    finding.add(judge(start, rows))
        yield pa.RecordBatch.from_pydict({"finding": [json.dumps(vars(finding))]})


def _judge(bundle: ScoringBundle, contract: Contract, model: str) -> Judge:
    return Judge(bundle, contract, "batch", model, "anomalies", TOP, checksums=False)


def _nothing(judge: Judge) -> Finding:
    return Finding(judge.model, judge.bundle.threshold.value)
