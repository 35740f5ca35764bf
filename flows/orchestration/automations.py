"""What only a Prefect server can know, told by it: a run that nobody began, a pool without workers.

A process that should have run cannot say so itself. The server holds one notification block for
each target that it can reach, and one automation for each of these events. Of our targets its
blocks reach webhooks and Slack's; e-mail is sent by our own processes only.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from flows.notify.config import Kind, NotifyConfig, Target

REACHED = ("webhook", "slack")
RUN = """{{ deployment.name }} did not begin at \
{{ flow_run.expected_start_time.strftime("%Y-%m-%d %H:%M:%S") }} UTC
{{ flow_run | ui_url or "" }}"""
POOL = """work pool {{ work_pool.name }} has no worker: its runs wait
{{ work_pool | ui_url or "" }}"""


def automate(client: Any, config: NotifyConfig, tag: str, pools: Iterable[str] = ()) -> list[str]:
    """Have a Prefect server tell of missed runs and of work pools without workers.

    The same deployment, the same pool: once in the cool-down. Applying the same again changes
    nothing; what nobody wants to be told any more is removed.

    Returns:
        Names of the automations that are there now.
    """
    from prefect.events.schemas.automations import AutomationCore, EventTrigger

    once = timedelta(hours=config.cool_down_hours)
    tagged = {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{tag}"}
    wanted: dict[str, tuple[Kind, EventTrigger, str, str]] = {
        f"dagmm: run missed ({tag})": (
            "run-missed",
            EventTrigger(
                expect={"prefect.flow-run.Late"},
                match={"prefect.resource.id": "prefect.flow-run.*"},
                match_related=tagged,
                for_each={"related:deployment:prefect.resource.id"},
                threshold=1,
                within=once,
            ),
            "{{ flow.name }} {{ flow_run.name }}: scheduled run missed",
            RUN,
        )
    }
    for pool in pools:
        wanted[f"dagmm: work pool {pool} is down"] = (
            "service-down",
            EventTrigger(
                expect={"prefect.work-pool.not-ready"},
                match={
                    "prefect.resource.id": "prefect.work-pool.*",
                    "prefect.resource.name": pool,
                },
                threshold=1,
                within=once,
            ),
            "{{ work_pool.name }}: service down",
            POOL,
        )
    made = []
    for name, (kind, trigger, subject, body) in wanted.items():
        targets = [t for t in config.targets if t.kind in REACHED and kind in t.events]
        actions = [_action(target, kind, subject, body) for target in targets if target.address]
        for old in client.read_automations_by_name(name):
            client.delete_automation(old.id)
        if actions:
            core = AutomationCore(name=name, trigger=trigger, actions=actions)
            client.create_automation(core)
            made.append(name)
    return made


def _action(target: Target, kind: Kind, subject: str, body: str) -> Any:
    from prefect.events.actions import SendNotification

    return SendNotification(block_document_id=_block(target, kind), subject=subject, body=body)


def _block(target: Target, kind: Kind) -> Any:
    """Id of the block that holds a target's address as a secret; it is replaced."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    document = {"event": kind, "title": "{{subject}}", "message": "{{body}}"}
    if target.kind == "slack":
        document = {"text": "*{{subject}}*\n{{body}}"}
    block = CustomWebhookNotificationBlock(
        name=target.name,
        url="{{address}}",
        json_data=document,
        secrets={"address": target.address},
        timeout=10,
    )
    letters = "".join(c if c.isascii() and c.isalnum() else "-" for c in target.name.lower())
    return block.save(f"dagmm-{letters.strip('-')}-{kind}", overwrite=True)
