"""The `promote` flow: judge, wait for a person where the policy asks for one, switch."""

import getpass
from typing import Literal

from prefect import flow, pause_flow_run, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.input import RunInput
from pydantic import Field

from flows.common.policy import PromotionPolicy
from flows.common.settings import Settings
from flows.notify.failures import TOLD
from flows.orchestration.at_home import at_home
from flows.reporting import summary
from flows.stages.decision import PromoteRecord
from flows.tracking import tracking
from flows.tracking.names import slug


class Approval(RunInput):
    """The form that Prefect shows while the flow is paused."""

    # No defaults: Prefect sends a form that nobody filled in as if somebody had.
    decision: Literal["approve", "reject"] = Field(description="To reject a version is final")
    by: str = Field(pattern=r"\S", description="Who decides; not who trained the version")
    reason: str = Field(pattern=r"\S", description="Why, for the audit trail")


@at_home
@flow(name="promote", flow_run_name="{name}-v{version}", log_prints=False, **TOLD)
def promote(
    name: str,
    version: int,
    policy: PromotionPolicy | None = None,
    rehearse: bool = False,
    patience_seconds: int = 86_400,
) -> PromoteRecord:
    """Judge a version and put it in production if every gate passes and people approved.

    Args:
        name: Registered model.
        version: Number of the version to judge.
        policy: Floors and margins; those of the candidate's own configuration unless given.
        rehearse: Judge and change nothing.
        patience_seconds: How long to wait for an approval; the version stays pending after it.
    """
    record = judge(name, version, policy, rehearse)
    while record.decision == "pending approval" and not rehearse:
        answer = pause_flow_run(
            wait_for_input=Approval.with_initial_data(
                description=summary.decision_card(record, brief=True)
            ),
            timeout=patience_seconds,
            poll_interval=2,
        )
        write_approval(name, version, answer)
        record = judge(name, version, policy, rehearse)
    return record


@task(name="judge and switch", task_run_name="judge and switch", cache_policy=NO_CACHE)
def judge(name: str, version: int, policy: PromotionPolicy | None, rehearse: bool) -> PromoteRecord:
    """Judge every gate; switch when nothing holds the version back."""
    from flows.promotion.promote import promote as work
    from flows.review.report import write_version_report

    settings = Settings()
    client = tracking.connect(settings)
    record = work(
        client, settings, name, version, by=getpass.getuser(), policy=policy, rehearse=rehearse
    )
    write_version_report(client, settings, record)
    create_markdown_artifact(
        key=f"promotion-{slug(record.name)}",
        markdown=summary.decision_card(record),
        description=f"{record.name} version {record.version}: {record.summary()}",
    )
    return record


@task(name="write approval", task_run_name="write approval", cache_policy=NO_CACHE)
def write_approval(name: str, version: int, answer: Approval) -> None:
    """Bind a person's answer to the version's evidence."""
    from flows.promotion.approval import approve

    client = tracking.connect(Settings())
    approved = answer.decision == "approve"
    approve(client, name, version, answer.by, answer.reason, approved=approved)
