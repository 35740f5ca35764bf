"""The append-only record of decisions: one run of the experiment `promotions` each.

A decision that moves `production` is written down before the alias moves and closed afterwards. An
open one was left by a process that died between; `switch.settled` finds out which side of the
move it died on, and closes it as what it was.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.common.errors import UsageError
from flows.common.gate_results import SWITCHES, GateResult
from flows.common.markdown import items
from flows.tracking import registry
from flows.tracking.names import tracking_name
from flows.tracking.queries import equals, pages

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

    from flows.common.settings import Settings
    from flows.stages.decision import PromoteRecord

PROMOTIONS = "promotions"
DECISION_TAG = "dagmm.decision"
"""Of a decision's run, of a version, and of the run that made it."""

INTERRUPTED = "interrupted"
RECORD = "decision.json"
TAG_LENGTH = 7500
"""Of a run's tag; MLflow refuses one of more than 8,000 characters."""


@dataclass(frozen=True)
class Decision:
    """One line of the audit trail.

    Attributes:
        time: Seconds since 1970, UTC.
        version: Version decided on.
        decision: A decision of `PromoteRecord`, or interrupted.
        previous: Version that was in production before, if any.
        reasons: Why, for people: one line for each gate.
        gates: What each gate found, with its deciding figure; none in decisions without gates and
            in those of the first version, which wrote sentences only.
        remark: What no gate says.
        hold: Whether the decision `holds` the model or `releases` it, else empty.
        complete: False while the decision is being carried out, or when the process died at it.
        lease: Number of the lease in which `production` was moved; 0 where it was not.
        run_id: The run that holds the record.
    """

    time: float
    name: str
    version: int
    decision: str
    previous: int | None
    by: str
    reasons: str
    complete: bool
    lease: int = 0
    run_id: str = ""
    gates: tuple[GateResult, ...] = ()
    remark: str = ""
    hold: str = ""


def write_decision(
    client: MlflowClient, settings: Settings, record: PromoteRecord, by: str, lease: int = 0
) -> str:
    """Write a decision down, open; returns its run id."""
    from flows.tracking.tracking import experiment_id

    experiment = experiment_id(client, settings, PROMOTIONS)
    overridden = [gate.title for gate in record.gates if gate.overridden]
    tags = {
        "dagmm.model": record.name,
        "dagmm.version": str(record.version),
        DECISION_TAG: record.decision,
        "dagmm.previous": "" if record.previous is None else str(record.previous),
        "dagmm.by": by,
        "mlflow.user": by,
        **_grounds(record),
        "dagmm.evidence_sha256": record.evidence_sha256,
        "dagmm.turn": str(lease),
        "dagmm.hold": record.hold,
        **({"dagmm.overridden": ", ".join(overridden)} if overridden else {}),
    }
    return client.create_run(experiment, tags=tags, run_name=_title(record)).info.run_id


def _title(record: PromoteRecord) -> str:
    """Name of a decision's run: what moved where, or what was said of a version."""
    if record.decision in SWITCHES:
        before = "none" if record.previous is None else f"v{record.previous}"
        how = "" if record.decision == "promoted" else " (rollback)"
        return f"{record.name} production {before} → v{record.version}{how}"
    return f"{record.name} v{record.version} {record.decision}"


def close(client: MlflowClient, run_id: str, record: PromoteRecord) -> None:
    """Complete a decision with its gates and its text."""
    from mlflow.entities import Metric, RunTag

    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[
            Metric(tracking_name(f"gate/{g.title}"), float(g.passed), now, 0) for g in record.gates
        ],
        tags=[
            RunTag("mlflow.note.content", "\n".join(items(record.reasons))),
            RunTag(DECISION_TAG, record.decision),
            *(RunTag(key, value) for key, value in _grounds(record).items()),
        ],
    )
    client.log_text(run_id, record.model_dump_json(indent=2), RECORD)
    client.set_terminated(run_id)


def _grounds(record: PromoteRecord) -> dict[str, str]:
    """What led to a decision, as tags: sentences for people, and the same for programs."""
    tags = {"dagmm.reasons": "\n".join(record.reasons)[:5000], "dagmm.remark": record.remark[:5000]}
    for length in (300, 100, 0):
        text = json.dumps([gate.compact(length) for gate in record.gates])
        if len(text) <= TAG_LENGTH:
            return {**tags, "dagmm.gates": text}
    return tags


def close_as(client: MlflowClient, run_id: str, decision: str, why: str) -> None:
    """Close what a dead process left open."""
    for key, value in ((DECISION_TAG, decision), ("dagmm.settled", why)):
        client.set_tag(run_id, key, value)
    client.set_terminated(run_id, "FINISHED" if decision in SWITCHES else "KILLED")


def history(client: MlflowClient, name: str) -> tuple[Decision, ...]:
    """Decisions on a model, oldest first.

    Raises:
        UsageError: No model of that name is registered.
    """
    if not registry.is_registered(client, name):
        raise UsageError(
            f"no registered model {name!r}; registered: {registry.known_names(client)}"
        )
    experiment = client.get_experiment_by_name(PROMOTIONS)
    if experiment is None:
        return ()
    runs = pages(
        client.search_runs,
        [experiment.experiment_id],
        equals("tags.`dagmm.model`", name),
        order_by=["attributes.start_time ASC"],
        max_results=5000,
    )
    return tuple(_decision(run) for run in runs)


def _decision(run: Run) -> Decision:
    tags = run.data.tags
    return Decision(
        time=run.info.start_time / 1000,
        name=tags["dagmm.model"],
        version=int(tags["dagmm.version"]),
        decision=tags[DECISION_TAG],
        previous=int(tags["dagmm.previous"] or 0) or None,
        by=tags["dagmm.by"],
        reasons=tags["dagmm.reasons"],
        complete=run.info.status != "RUNNING",
        lease=int(tags.get("dagmm.turn", "0")),
        run_id=run.info.run_id,
        gates=tuple(map(GateResult.model_validate, json.loads(tags.get("dagmm.gates", "[]")))),
        remark=tags.get("dagmm.remark", ""),
        hold=tags.get("dagmm.hold", ""),
    )


def switches(decisions: tuple[Decision, ...]) -> list[Decision]:
    """Completed moves of `production` in the order in which they were made."""
    made = [d for d in decisions if d.decision in SWITCHES and d.complete]
    return sorted(made, key=lambda d: (d.lease, d.time))


def moved_outside(client: MlflowClient, name: str, decisions: tuple[Decision, ...]) -> str:
    """What is wrong when `production` is not where the audit left it, else an empty string."""
    now = registry.version_behind(client, name, registry.PRODUCTION)
    made = switches(decisions)
    expected = made[-1].version if made else None
    open_targets = {d.version for d in decisions if d.decision in SWITCHES and not d.complete}
    if now == expected or now in open_targets:
        return ""
    return (
        f"{registry.PRODUCTION} points to version {now or 'none'}, the last recorded switch was to "
        f"{expected or 'none'}: the alias was moved outside this command"
    )


def mark_kept(
    client: MlflowClient,
    name: str,
    decisions: tuple[Decision, ...],
    keep: int,
    best: int | None = None,
) -> None:
    """Tag the last promoted versions as kept for a rollback, and the earlier ones as not.

    Nothing is ever deleted here: the tag is for whoever cleans the store up.

    The `best` one, which later candidates are compared with, is kept however old it is.
    """
    latest = list(dict.fromkeys(d.version for d in reversed(switches(decisions))))
    for place, number in enumerate(latest):
        if place > keep and number != best:
            continue
        verdict = "kept for rollback" if place < keep else "may be deleted"
        if number == best and place >= keep:
            verdict = "kept for comparison"
        version = registry.version_or_none(client, name, number)
        if version is not None and version.tags.get("dagmm.retention") != verdict:
            client.set_model_version_tag(name, str(number), "dagmm.retention", verdict)
