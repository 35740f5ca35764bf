"""The `monitor` flow: check the production model, say so, and retrain if the policy asks for it."""

import time

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from pydantic import Field

from flows.common.config import TrainConfig
from flows.common.markdown import items
from flows.common.settings import Settings
from flows.common.value_types import Frozen, Parameters
from flows.drift import record as drift_record
from flows.drift.comparison import MonitorPolicy
from flows.notify.failures import TOLD
from flows.orchestration.at_home import at_home
from flows.promotion.lease import hold
from flows.stages.decision import TrainResult
from flows.tracking import registry, tracking
from flows.tracking.names import slug

RETRAINED_TAG = "dagmm.retrained"
DRIFT, CALM = "dagmm.drift.found", "dagmm.drift.none"


class Retraining(Parameters):
    """What a drift starts; the gates alone decide what becomes of the new version."""

    config: TrainConfig
    """The training to run; its data should be the newest"""
    min_hours: float = Field(24.0, ge=0)
    """Least time between two such trainings"""
    on: str = Field("critical", pattern="^(warning|critical)$")
    """Verdict from which to retrain"""


class MonitorResult(Frozen):
    """What the flow found and did."""

    model: str
    verdict: str
    reasons: tuple[str, ...]
    run_id: str
    step: int
    retrained: TrainResult | None = None
    not_retrained: str = ""


@at_home
@flow(name="monitor", flow_run_name="monitor-{name}", log_prints=False, **TOLD)
def monitor(
    name: str,
    data: str | None = None,
    scored: str | None = None,
    policy: MonitorPolicy | None = None,
    retraining: Retraining | None = None,
) -> MonitorResult:
    """Compare a window of rows with what the production model was trained on.

    Args:
        name: Registered model, whose version in production is meant; or NAME@alias, NAME/VERSION.
        data: Raw rows, from any source of the contract.
        scored: Or a result of `dagmm score`.
        policy: Level and tolerances.
        retraining: What a drift starts; nothing unless given.
    """
    checked = check(name, data, scored, policy or MonitorPolicy())
    report = checked.report
    result = MonitorResult(
        model=report.model,
        verdict=str(report.verdict),
        reasons=report.reasons,
        run_id=checked.run_id,
        step=checked.step,
    )
    if retraining is None or report.verdict not in ("critical", retraining.on):
        return result
    if why_not := claim(registry.name_of(name), checked.run_id, retraining.min_hours):
        return result.model_copy(update={"not_retrained": why_not})
    from flows.orchestration.train_flow import train

    return result.model_copy(update={"retrained": train(retraining.config)})


@task(name="check", task_run_name="check {name}", cache_policy=NO_CACHE)
def check(
    name: str, data: str | None, scored: str | None, policy: MonitorPolicy
) -> drift_record.Checked:
    """Compare, write down, and tell Prefect."""
    checked = drift_record.monitor(name, Settings(), data=data, scored=scored, policy=policy)
    report = checked.report
    create_markdown_artifact(
        key=f"drift-{slug(name)}",
        markdown="\n".join(items(line.strip(" -") for line in checked.text().splitlines())),
        description=f"{report.model}: {report.verdict}",
    )
    create_link_artifact(
        key=f"drift-report-{slug(name)}",
        link=checked.page_url,
        link_text=f"{checked.page} in the MLflow run of all checks",
        description=f"{report.model}: {report.verdict}",
    )
    emit_event(
        event=DRIFT if report.drifted else CALM,
        resource={"prefect.resource.id": f"dagmm.model.{name}", "dagmm.version": report.model},
        payload={"verdict": str(report.verdict), "reasons": list(report.reasons[:20])},
    )
    return checked


@task(name="claim a retraining", task_run_name="claim a retraining", cache_policy=NO_CACHE)
def claim(name: str, run_id: str, min_hours: float) -> str:
    """Take the right to retrain, or say why not; one process at a time, whatever the host.

    The time is written before the training starts: one that fails is not tried again at once.
    """
    settings = Settings()
    client = tracking.connect(settings)
    with hold(client, settings, name, "claim a retraining") as held:
        last = client.get_run(run_id).data.tags.get(RETRAINED_TAG)
        hours = (time.time() - float(last)) / 3600 if last else float("inf")
        if hours < min_hours:
            return f"the last retraining was started {hours:.1f} hours ago, {min_hours:g} required"
        held.check()
        client.set_tag(run_id, RETRAINED_TAG, str(time.time()))
    return ""
