"""Everything that is read from or written to the model registry, and the audit of decisions.

An alias write is one atomic row, without history and without compare-and-swap. So every decision
is first recorded as a run of the `promotions` experiment, then the alias moves, then the record is
closed; a crash between leaves an open record that the same decision closes when it is repeated.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import FileLock, Timeout
from mlflow.entities import Metric, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from flows.errors import UsageError
from flows.records import PromoteRecord
from flows.settings import Settings
from flows.tracking import experiment_id

PRODUCTION, CHALLENGER, PREVIOUS = "production", "challenger", "previous"
PROMOTIONS = "promotions"
LOCK_SECONDS = 120


@dataclass(frozen=True)
class Decision:
    """One line of the audit trail.

    Attributes:
        time: Seconds since 1970, UTC.
        name: Registered model.
        version: Version decided on.
        decision: promoted, rejected, unchanged, registered only, or rolled back.
        previous: Version that was in production before, if any.
        by: Who asked.
        reasons: Why, one line for each gate.
        complete: False when the process died between the record and the switch.
    """

    time: float
    name: str
    version: int
    decision: str
    previous: int | None
    by: str
    reasons: str
    complete: bool


def find_version(client: MlflowClient, name: str, version: int) -> ModelVersion:
    """A version of a registered model.

    Raises:
        UsageError: The model or the version does not exist.
    """
    try:
        return client.get_model_version(name, str(version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        known = [m.name for m in client.search_registered_models()]
        if name in known:
            numbers = sorted(int(v.version) for v in client.search_model_versions(f"name='{name}'"))
            hint = f"versions of {name}: {', '.join(map(str, numbers)) or 'none'}"
        else:
            hint = f"registered models: {', '.join(known) or 'none'}"
        raise UsageError(f"no version {version} of model {name!r}; {hint}") from None


def version_behind(client: MlflowClient, name: str, alias: str) -> int | None:
    """Version that an alias points to; None when the model or the alias does not exist."""
    try:
        return int(client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise


def register_version(
    client: MlflowClient,
    name: str,
    model_uri: str,
    model_id: str,
    run_id: str,
    tags: dict[str, str],
) -> int:
    """Register the model of a run; a run that has its version already keeps it."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    existing = client.search_model_versions(f"name='{name}' and run_id='{run_id}'")
    if existing:
        return int(existing[0].version)
    created = client.create_model_version(
        name, model_uri, run_id=run_id, tags=tags, model_id=model_id
    )
    return int(created.version)


@contextmanager
def decision_lock(settings: Settings, name: str) -> Iterator[None]:
    """Serialise decisions on one model among the processes that share `home`."""
    folder = settings.home.resolve() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"promote-{name}.lock")
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise UsageError(
            f"another promotion of {name!r} has been running for {LOCK_SECONDS} s; "
            "try again when it has ended"
        ) from None
    with lock:
        yield


def put_in_production(client: MlflowClient, name: str, version: int) -> int | None:
    """Point `production` at a version and `previous` at the one before; safe to repeat.

    Returns:
        The version that was in production before, or None.
    """
    before = version_behind(client, name, PRODUCTION)
    if before == version:
        return version_behind(client, name, PREVIOUS)
    if before is not None:
        client.set_registered_model_alias(name, PREVIOUS, str(before))
    client.set_registered_model_alias(name, PRODUCTION, str(version))
    if version_behind(client, name, PRODUCTION) != version:
        raise MlflowException(f"alias {PRODUCTION!r} of {name!r} was moved by somebody else")
    if version_behind(client, name, CHALLENGER) == version:
        client.delete_registered_model_alias(name, CHALLENGER)
    return before


@contextmanager
def audited(
    client: MlflowClient, settings: Settings, record: PromoteRecord, by: str
) -> Iterator[None]:
    """Record a decision around what carries it out."""
    experiment = experiment_id(client, settings, PROMOTIONS)
    tags = {
        "dagmm.model": record.name,
        "dagmm.version": str(record.version),
        "dagmm.decision": record.decision,
        "dagmm.previous": "" if record.previous is None else str(record.previous),
        "dagmm.by": by,
        "dagmm.reasons": "\n".join(record.reasons)[:5000],
    }
    same = " and ".join(
        f"tags.`{key}` = '{tags[key]}'"
        for key in ("dagmm.model", "dagmm.version", "dagmm.decision", "dagmm.previous")
    )
    left_open = client.search_runs([experiment], f"{same} and attributes.status = 'RUNNING'")
    if left_open:
        run_id = left_open[0].info.run_id
    else:
        title = f"{record.name} v{record.version} {record.decision}"
        run_id = client.create_run(experiment, tags=tags, run_name=title).info.run_id
    yield
    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[Metric(f"gate/{g.gate}", float(g.passed), now, 0) for g in record.gates],
        tags=[RunTag("mlflow.note.content", "\n".join(f"- {r}" for r in record.reasons))],
    )
    client.log_text(run_id, record.model_dump_json(indent=2), "decision.json")
    client.set_terminated(run_id)


def history(client: MlflowClient, name: str) -> tuple[Decision, ...]:
    """Decisions on a model, oldest first.

    Raises:
        UsageError: No model of that name is registered.
    """
    if not client.search_registered_models(f"name='{name}'"):
        known = [m.name for m in client.search_registered_models()]
        raise UsageError(
            f"no registered model {name!r}; registered: {', '.join(known) or 'none yet'}"
        )
    experiment = client.get_experiment_by_name(PROMOTIONS)
    if experiment is None:
        return ()
    runs = client.search_runs(
        [experiment.experiment_id],
        f"tags.`dagmm.model` = '{name}'",
        order_by=["attributes.start_time ASC"],
        max_results=10_000,
    )
    return tuple(
        Decision(
            time=run.info.start_time / 1000,
            name=name,
            version=int(run.data.tags["dagmm.version"]),
            decision=run.data.tags["dagmm.decision"],
            previous=int(run.data.tags["dagmm.previous"] or 0) or None,
            by=run.data.tags["dagmm.by"],
            reasons=run.data.tags["dagmm.reasons"],
            complete=run.info.status == "FINISHED",
        )
        for run in runs
    )


def moved_outside(client: MlflowClient, name: str, decisions: tuple[Decision, ...]) -> str:
    """What is wrong when `production` is not where the audit left it, else an empty string."""
    now = version_behind(client, name, PRODUCTION)
    switches = [d.version for d in decisions if d.decision in {"promoted", "rolled back"}]
    expected = switches[-1] if switches else None
    if now == expected:
        return ""
    return (
        f"{PRODUCTION} points to version {now or 'none'}, the last recorded switch was to "
        f"{expected or 'none'}: the alias was moved outside this command"
    )
