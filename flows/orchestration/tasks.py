"""The stages of `train` as Prefect tasks: retries, and what the pages show of each record."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from prefect import Task, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from flows.common.errors import Verdict, is_transient
from flows.pipeline.fitting import ranks
from flows.reporting import summary
from flows.stages import records
from flows.stages.decision import PromoteRecord
from flows.stages.run import TrainRun
from flows.stages.table import STAGES, Stage, perform
from flows.tracking import tracking
from flows.tracking.names import slug


def _worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """I/O trouble may pass; a verdict, bad input or a defect will not."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and is_transient(error)


def _worth_resuming(_task: Any, _run: Any, state: Any) -> bool:
    """Of several ranks none can retry alone: the others are in the middle of a sum."""
    return ranks.ours().alone and _worth_retrying(_task, _run, state)


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
OPTIONS = dict.fromkeys(("ingest", "verdicts", "register", "promote"), IO_STAGE)
OPTIONS |= {"fit": RESUMING_STAGE}
"""Of the stages that are tried again."""


@task(name="start tracking", task_run_name="start tracking", **IO_STAGE)
def start_tracking(run: TrainRun) -> TrainRun:
    """Open the MLflow run, or find the one that an interrupted attempt opened."""
    settings, contract, config = run.settings, run.contract, run.config
    client = tracking.connect(settings)
    run_id = tracking.ensure_run(client, settings, run.path.name, contract, config)
    # The policy of the gates is no setting of the model; the evidence holds it.
    tracking.log_params(client, run_id, config.model_dump(mode="json", exclude={"promotion"}))
    experiment = client.get_run(run_id).info.experiment_id
    create_link_artifact(
        key=f"mlflow-run-{slug(contract.name)}",
        link=tracking.run_url(settings, experiment, run_id),
        link_text="MLflow run",
        description="Losses, figures, data sets and the model (`dagmm ui` serves the page)",
    )
    return replace(run, run_id=run_id)


@task(name="report", task_run_name="report", **PURE_STAGE)
def write_report(run: TrainRun) -> str:
    """Write the page of the version and the decision on it; says where it is."""
    from flows.review.report import write_version_report as write

    pictures = {file.stem: file.read_bytes() for file in (run.path / "figures").glob("*.png")}
    client, record = tracking.connect(run.settings), run.record("promote")
    return write(client, run.settings, record, pictures)


def _show_validation(run: TrainRun, record: records.ValidateRecord) -> None:
    from flows.pipeline.validate import log_validation

    log_validation(tracking.connect(run.settings), run.run_id, record)
    name = run.contract.name
    create_table_artifact(
        key=f"data-quality-{slug(name)}",
        table=summary.data_quality(record),
        description=f"{name}: {record.summary()} of {record.rows_in:,} rows",
    )
    if not record.passed:
        raise Verdict(record.message)


def _show_verdicts(run: TrainRun, record: records.JudgedRecord) -> None:
    if record.verdicts_sha256:
        tags = {
            "dagmm.verdicts": record.summary(),
            "dagmm.verdicts_sha256": record.verdicts_sha256,
        }
        tracking.set_tags(tracking.connect(run.settings), run.run_id, tags)


def _show_choice(run: TrainRun, record: records.ChoiceRecord) -> None:
    client = tracking.connect(run.settings)
    tracking.log_metrics(client, run.run_id, summary.choice_metrics(record))
    tags = {"dagmm.detector": record.detector, "dagmm.choice": record.summary()[:5000]}
    tracking.set_tags(client, run.run_id, tags)
    if record.candidates:
        create_table_artifact(
            key=f"choice-{slug(run.contract.name)}",
            table=summary.choice_table(record),
            description=record.summary(),
        )


def _show_fit(run: TrainRun, record: records.FitRecord) -> None:
    client = tracking.connect(run.settings)
    tracking.log_params(client, run.run_id, {"resolved": record.settings})
    tags = {
        "dagmm.device": record.device,
        "dagmm.device.reason": record.device_reason,
        "dagmm.ranks": str(record.ranks),
        "dagmm.test_rows": run.record("split").test_sha256[:8],
    }
    tracking.set_tags(client, run.run_id, tags)


def _show_evaluation(run: TrainRun, _record: records.EvaluateRecord) -> None:
    card = summary.model_card(run.contract, run.config, run.evidence())
    create_markdown_artifact(
        key=f"training-{slug(run.contract.name)}",
        markdown=card,
        description=f"{run.contract.name}: training and evaluation",
    )
    pages = f"[Flow run in Prefect]({run.settings.prefect_url}/runs/flow-run/{flow_run.id})"
    tags = {"mlflow.note.content": f"{card}\n\n{pages}"}
    tracking.set_tags(tracking.connect(run.settings), run.run_id, tags)


def _show_decision(run: TrainRun, record: PromoteRecord) -> None:
    tags = {"dagmm.reasons": "\n".join(record.reasons)[:5000]}
    tracking.set_tags(tracking.connect(run.settings), run.run_id, tags)
    create_markdown_artifact(
        key=f"promotion-{slug(record.name)}",
        markdown=summary.decision_card(record),
        description=f"{record.name} version {record.version}: {record.decision}",
    )


SHOWN: dict[str, Callable[[TrainRun, Any], None]] = {
    "validate": _show_validation,
    "verdicts": _show_verdicts,
    "choose": _show_choice,
    "fit": _show_fit,
    "evaluate": _show_evaluation,
    "promote": _show_decision,
}
"""What is told of a record, each time that its stage is passed: it overwrites what was there."""


def _task(stage: Stage) -> Task[[TrainRun], TrainRun]:
    def do(run: TrainRun) -> TrainRun:
        run = perform(stage, run)
        record = run.record(stage.name)
        get_run_logger().info("%s: %s (%.1f s)", stage.name, record.summary(), record.seconds)
        if show := SHOWN.get(stage.name):
            show(run, record)
        return run

    do.__name__ = do.__qualname__ = stage.name  # Prefect counts the runs of a task by it
    options = OPTIONS.get(stage.name, PURE_STAGE)
    return task(do, name=stage.name, task_run_name=stage.name, description=stage.about, **options)


TASKS = {name: _task(stage) for name, stage in STAGES.items()}
"""The stages by name; each takes the training and gives it back with its record."""
