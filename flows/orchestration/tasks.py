"""The stages of `train` as Prefect tasks: retry policy, record, artifacts, nothing else."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from prefect import get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from data_checks.contract.model import Contract
from flows.common.config import TrainConfig
from flows.common.errors import Verdict, is_transient
from flows.common.settings import Settings
from flows.pipeline.fitting import ranks
from flows.pipeline.fitting.epochs import EpochLogger
from flows.reporting import summary
from flows.stages.decision import Evidence, PromoteRecord, RegisterRecord
from flows.stages.records import (
    CalibrateRecord,
    ChoiceRecord,
    EvaluateRecord,
    FitRecord,
    IngestRecord,
    JudgedRecord,
    SplitRecord,
    ValidateRecord,
)
from flows.stages.workspace import R, RunFolder, run_stage
from flows.tracking import tracking
from flows.tracking.names import slug


def _worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """I/O trouble may pass; a verdict, bad input or a defect will not."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and is_transient(error)


def _worth_resuming(_task: Any, _run: Any, state: Any) -> bool:
    """Of several ranks none can try again by itself: the others are in the middle of a sum."""
    return ranks.ours().alone and _worth_retrying(_task, _run, state)


def _stage(run: RunFolder, name: str, kind: type[R], work: Callable[[], R]) -> R:
    """Do a stage once, and say in the log of the run's page what came out."""
    record = run_stage(run, name, kind, work)
    get_run_logger().info("%s: %s (%.1f s)", name, record.summary(), record.seconds)
    return record


IO_STAGE: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [2, 5, 15],
    "retry_condition_fn": _worth_retrying,
    "cache_policy": NO_CACHE,
}
"""Reads or writes a store: tried again with growing pauses."""
PURE_STAGE: dict[str, Any] = {"retries": 0, "cache_policy": NO_CACHE}
"""Gives an answer: the same on every try."""
RESUMING_STAGE: dict[str, Any] = {
    "retries": 1,
    "retry_condition_fn": _worth_resuming,
    "cache_policy": NO_CACHE,
}
"""Goes on from its checkpoint when tried again."""


@task(name="ingest", task_run_name="ingest", **IO_STAGE)
def ingest(
    run: RunFolder, contract: Contract, config: TrainConfig, settings: Settings
) -> IngestRecord:
    """Read the table."""
    from flows.pipeline.ingest import ingest as work

    return _stage(
        run,
        "ingest",
        IngestRecord,
        lambda: work(run.path, contract, config.data, settings.data_dir),
    )


@task(name="start tracking", task_run_name="start tracking", **IO_STAGE)
def start_tracking(
    run: RunFolder, contract: Contract, config: TrainConfig, settings: Settings
) -> str:
    """Open the MLflow run, or find the one that an interrupted attempt opened."""
    client = tracking.connect(settings)
    run_id = tracking.ensure_run(client, settings, run, contract, config)
    # The policy of the gates is no setting of the model; the evidence holds it.
    tracking.log_params(client, run_id, config.model_dump(mode="json", exclude={"promotion"}))
    experiment = client.get_run(run_id).info.experiment_id
    create_link_artifact(
        key=f"mlflow-run-{slug(contract.name)}",
        link=tracking.run_url(settings, experiment, run_id),
        link_text="MLflow run",
        description="Losses, figures, data sets and the model (`dagmm ui` serves the page)",
    )
    return run_id


@task(name="validate", task_run_name="validate", **PURE_STAGE)
def validate(
    run: RunFolder, contract: Contract, settings: Settings, run_id: str, ingested: IngestRecord
) -> ValidateRecord:
    """Check the rows against the contract; a critical failure ends the flow."""
    from flows.pipeline.validate import log_validation
    from flows.pipeline.validate import validate as work

    def logged() -> ValidateRecord:
        record = work(run.path, contract, ingested)
        log_validation(tracking.connect(settings), run_id, record)
        return record

    record = _stage(run, "validate", ValidateRecord, logged)
    create_table_artifact(
        key=f"data-quality-{slug(contract.name)}",
        table=summary.data_quality(record),
        description=f"{contract.name}: {record.summary()} of {record.rows_in:,} rows",
    )
    if not record.passed:
        raise Verdict(record.message)
    return record


@task(name="verdicts", task_run_name="verdicts", **IO_STAGE)
def verdicts(
    run: RunFolder,
    contract: Contract,
    config: TrainConfig,
    settings: Settings,
    run_id: str,
    validated: ValidateRecord,
) -> JudgedRecord:
    """Take what people have said of rows of the model."""
    from flows.pipeline.judged import judged, judged_rows

    def confirmed() -> JudgedRecord:
        client = tracking.connect(settings)
        name = config.model_name or f"dagmm-{contract.name}"
        record = judged(run, contract, validated, judged_rows(client, settings, name))
        if record.verdicts_sha256:
            tags = {"dagmm.verdicts": record.summary()}
            tracking.set_tags(
                client, run_id, tags | {"dagmm.verdicts_sha256": record.verdicts_sha256}
            )
        return record

    return _stage(run, "verdicts", JudgedRecord, confirmed)


@task(name="split", task_run_name="split", **PURE_STAGE)
def split(
    run: RunFolder, contract: Contract, config: TrainConfig, validated: ValidateRecord
) -> SplitRecord:
    """Choose training, validation and test rows."""
    from flows.pipeline.split import split as work

    return _stage(run, "split", SplitRecord, lambda: work(run, contract, config, validated))


@task(name="choose", task_run_name="choose", **PURE_STAGE)
def choose(
    run: RunFolder,
    contract: Contract,
    config: TrainConfig,
    settings: Settings,
    run_id: str,
    validated: ValidateRecord,
    parts: SplitRecord,
) -> ChoiceRecord:
    """Choose the detector on rows that do not judge it."""
    from flows.pipeline.choose import choose as work
    from flows.pipeline.ranking import rankable

    def chosen() -> ChoiceRecord:
        return work(rankable(contract, config, validated, parts), config.seed)

    record = _stage(run, "choose", ChoiceRecord, chosen)
    client = tracking.connect(settings)
    tracking.log_metrics(client, run_id, summary.choice_metrics(record))
    tracking.set_tags(
        client,
        run_id,
        {"dagmm.detector": record.detector, "dagmm.choice": record.summary()[:5000]},
    )
    if record.candidates:
        create_table_artifact(
            key=f"choice-{slug(contract.name)}",
            table=summary.choice_table(record),
            description=record.summary(),
        )
    return record


@task(name="fit", task_run_name="fit", **RESUMING_STAGE)
def fit(
    run: RunFolder,
    contract: Contract,
    config: TrainConfig,
    settings: Settings,
    run_id: str,
    validated: ValidateRecord,
    parts: SplitRecord,
) -> FitRecord:
    """Train the detector on normal rows."""
    from dagmm_model.detectors.persistence import load_detector
    from flows.pipeline.fitting.fit import FitWork
    from flows.pipeline.fitting.fit import fit as work

    todo = FitWork(
        run=run.path,
        contract=contract,
        config=config,
        validated=validated,
        parts=parts,
        checkpoint_seconds=settings.checkpoint_seconds,
    )
    client = tracking.connect(settings)

    def tracked() -> FitRecord:
        logger = EpochLogger(client, run_id)
        with ExitStack() as stack:
            monitor = SystemMetricsMonitor(
                run_id,
                sampling_interval=1,
                resume_logging=True,
                tracking_uri=settings.tracking_uri,
            )
            psutil.cpu_percent()  # counts from here on: MLflow's first value would be 0
            monitor.start()
            stack.callback(monitor.finish)
            record = work(todo, (logger,), ranks.ours())
        logger.complete(load_detector(Path(record.detector)).history_)
        return record

    record = _stage(run, "fit", FitRecord, tracked)
    tracking.log_params(client, run_id, {"resolved": record.settings})
    tags = {"dagmm.device": record.device, "dagmm.device.reason": record.device_reason}
    tags |= {"dagmm.ranks": str(record.ranks), "dagmm.test_rows": parts.test_sha256[:8]}
    tracking.set_tags(client, run_id, tags)
    return record


@task(name="calibrate", task_run_name="calibrate", **PURE_STAGE)
def calibrate(
    run: RunFolder,
    contract: Contract,
    config: TrainConfig,
    validated: ValidateRecord,
    parts: SplitRecord,
    fitted: FitRecord,
) -> CalibrateRecord:
    """Set the threshold."""
    from flows.pipeline.calibrate import calibrate as work

    return _stage(
        run,
        "calibrate",
        CalibrateRecord,
        lambda: work(run, contract, config, validated, parts, fitted),
    )


@task(name="evaluate", task_run_name="evaluate", **PURE_STAGE)
def evaluate(
    run: RunFolder,
    contract: Contract,
    config: TrainConfig,
    settings: Settings,
    run_id: str,
    validated: ValidateRecord,
    parts: SplitRecord,
    fitted: FitRecord,
    calibrated: CalibrateRecord,
) -> EvaluateRecord:
    """Measure on the test rows; figures, mixture and data sets go to the MLflow run."""
    from flows.pipeline.evaluate import evaluate as work
    from flows.pipeline.report import report

    def reported() -> EvaluateRecord:
        record = work(run, contract, config, validated, parts, calibrated)
        client = tracking.connect(settings)
        report(client, run_id, contract, validated, parts, fitted, calibrated, record)
        return record

    return _stage(run, "evaluate", EvaluateRecord, reported)


@task(name="register", task_run_name="register", **IO_STAGE)
def register(
    run: RunFolder,
    contract: Contract,
    config: TrainConfig,
    settings: Settings,
    run_id: str,
    evidence: Evidence,
) -> RegisterRecord:
    """Log the model with its evidence and register it as a version."""
    from flows.pipeline.register import register as work

    card = summary.model_card(contract, config, evidence)
    create_markdown_artifact(
        key=f"training-{slug(contract.name)}",
        markdown=card,
        description=f"{contract.name}: training and evaluation",
    )
    client = tracking.connect(settings)
    pages = f"[Flow run in Prefect]({settings.prefect_url}/runs/flow-run/{flow_run.id})"
    tracking.set_tags(client, run_id, {"mlflow.note.content": f"{card}\n\n{pages}"})
    return _stage(
        run,
        "register",
        RegisterRecord,
        lambda: work(run, client, run_id, contract, config, evidence),
    )


@task(name="promote", task_run_name="promote", **IO_STAGE)
def promote(run: RunFolder, settings: Settings, registered: RegisterRecord) -> PromoteRecord:
    """Judge the version and, if it passes, put it in production."""
    from flows.promotion.promote import promote as work

    client = tracking.connect(settings)
    record = _stage(
        run,
        "promote",
        PromoteRecord,
        lambda: work(
            client,
            settings,
            registered.name,
            registered.version,
            by=getpass.getuser(),
            automatic=True,
        ),
    )
    tracking.set_tags(
        client,
        registered.run_id,
        {
            "dagmm.model_version": f"{registered.name}/{registered.version}",
            "dagmm.decision": record.decision,
            "dagmm.reasons": "\n".join(record.reasons)[:5000],
        },
    )
    create_markdown_artifact(
        key=f"promotion-{slug(record.name)}",
        markdown=summary.decision_card(record),
        description=f"{record.name} version {record.version}: {record.decision}",
    )
    return record


@task(name="report", task_run_name="report", **PURE_STAGE)
def write_report(settings: Settings, record: PromoteRecord) -> str:
    """Write the page of the version and the decision on it; says where it is."""
    from flows.review.report import write_report as work

    return work(tracking.connect(settings), settings, record)
