"""The deployments of a `prefect.yaml`: applied to a server, or served by one local process.

The file is the truth. Schedules that it does not have any more are removed from its deployments,
and deployments that it does not have any more, if this file made them: a tag tells.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from flows.common import progress
from flows.common.errors import ServiceUnreachable, UsageError
from flows.common.settings import Settings
from flows.notify.config import read_notify
from flows.orchestration.automations import automate
from flows.orchestration.definitions import (
    DEFINITIONS,
    PROJECT,
    Definition,
    read_definitions,
)
from flows.services.door import login_page
from flows.services.embedded import Home, prefect_server

NOT_SERVED = ("pull", "build", "push", "sla")
AWAY = ("Failed to reach API", "ConnectError", "ConnectTimeout", "All connection attempts failed")


def deploy(settings: Settings, file: Path | None) -> tuple[list[str], list[str], list[str]]:
    """Make the configured Prefect server hold what the file says.

    Returns:
        Names of the deployments, a sentence for each thing that was removed, and the pools whose
        workers run them. Applying the same file again changes nothing.

    Raises:
        UsageError: No Prefect server is configured, or the file cannot be applied.
        ServiceUnreachable: Prefect does not answer.
    """
    if settings.prefect_api_url is None:
        raise UsageError(
            "PREFECT_API_URL is not set: deployments live on a Prefect server. "
            "`dagmm serve` runs the schedules here without one"
        )
    path = (file or DEFINITIONS).resolve()
    definitions = read_definitions(path)
    if without := [one.full_name for one in definitions if not one.pool]:
        raise UsageError(
            f"{path}: {', '.join(without)} has no `work_pool: {{name: …}}`, and without one no "
            "worker runs it; `dagmm serve` needs none"
        )
    pools = sorted({one.pool for one in definitions})
    with _client() as client:
        for pool in pools:
            _create_missing_pool(client, pool)
        _prefect_deploy(path)
        removed = list(remove_others(client, definitions, path))
        _tag(client, definitions, path)
        automate(client, read_notify(settings), tag_of(path), pools)
    return [one.full_name for one in definitions], removed, pools


def serve_schedules(settings: Settings, file: Path | None) -> None:
    """Run the schedules in this process until Ctrl-C, on the home's server if none is configured.

    Raises:
        UsageError: The file asks for what cannot be served.
    """
    path = (file or DEFINITIONS).resolve()
    definitions = read_definitions(path)
    for one in definitions:
        if wanted := [key for key in NOT_SERVED if one.values.get(key)]:
            raise UsageError(
                f"{path}: {one.full_name}: `{wanted[0]}` is for workers; use `dagmm deploy`"
            )
    with ExitStack() as stack:
        address = str(settings.prefect_api_url).removesuffix("/api")
        if settings.prefect_api_url is None:
            progress.note("starting Prefect")
            server = stack.enter_context(prefect_server(settings, pages=True, tell=progress.note))
            address = login_page(server.url, Home(settings).auth())
        from flows.orchestration.local_runner import run_here

        with _client() as client:
            for sentence in remove_others(client, definitions, path):
                typer.echo(sentence)
            automate(client, read_notify(settings), tag_of(path))
        runners = [one.runner for one in definitions]
        for runner in runners:
            runner.tags = [*runner.tags, tag_of(path)]
        typer.echo(f"Serving {', '.join(one.full_name for one in definitions)}")
        typer.echo(f"Prefect  {address}")
        typer.echo("Start    on the page: Deployments, one of them, Run. Ctrl-C ends the schedules")
        run_here(runners)


def tag_of(path: Path) -> str:
    """Tag of the deployments that a file made, on whatever server."""
    if path == DEFINITIONS.resolve():
        return "dagmm-file:shipped"
    return f"dagmm-file:{path.name}:{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def remove_others(client: Any, definitions: Sequence[Definition], path: Path) -> Iterator[str]:
    """Remove what this file made and does not have any more; a sentence for each."""
    defined = {one.full_name: one for one in definitions}
    for deployment in _deployments(client):
        full_name = f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"
        one = defined.get(full_name)
        if one is None:
            if tag_of(path) in deployment.tags:
                client.delete_deployment(deployment.id)
                yield f"Removed    {full_name}: no longer in {path.name}"
            continue
        wanted = {_key(schedule) for schedule in one.schedules}
        for schedule in deployment.schedules:
            if _key(schedule) not in wanted:
                client.delete_deployment_schedule(deployment.id, schedule.id)
                yield f"Removed    schedule {_words(schedule)} of {full_name}: not in {path.name}"


def _tag(client: Any, definitions: Sequence[Definition], path: Path) -> None:
    from prefect.client.schemas.actions import DeploymentUpdate

    for one in definitions:
        deployment = client.read_deployment_by_name(one.full_name)
        tags = [*one.runner.tags, tag_of(path)]
        client.update_deployment(deployment.id, DeploymentUpdate(tags=tags))


def _deployments(client: Any) -> Iterable[Any]:
    offset, page = 0, 100
    while batch := client.read_deployments(limit=page, offset=offset):
        yield from batch
        offset += page


def _key(schedule: Any) -> str:
    """What makes a schedule the one it is; where an interval began is the server's choice."""
    when = schedule.schedule
    chosen = when.model_dump(mode="json", exclude={"anchor_date"})
    chosen["timezone"] = chosen.get("timezone") or "UTC"
    return repr((type(when).__name__, sorted(chosen.items()), schedule.slug))


def _words(schedule: Any) -> str:
    when = schedule.schedule
    text = next(
        getattr(when, kind) for kind in ("cron", "interval", "rrule") if hasattr(when, kind)
    )
    return f"{schedule.slug or ''} ({' '.join(str(text).split())})".strip()


@contextmanager
def _client() -> Iterator[Any]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


def _create_missing_pool(client: Any, name: str) -> None:
    """A pool for processes; one that is there stays as its operator has set it up."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        from prefect.workers.process import ProcessWorker

        template = ProcessWorker.get_default_base_job_template()
        pool = WorkPoolCreate(name=name, type="process", base_job_template=template)
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(pool)


def _prefect_deploy(path: Path) -> None:
    """Have Prefect's own command apply a file, which may say more than we look at."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-P", "-m", "prefect", "--no-prompt"]
        + ["deploy", "--all", "--prefect-file", str(path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
    )
    if not done.returncode:
        return
    printed = [line.strip() for line in (done.stderr or done.stdout).splitlines()]
    lines = [line for line in printed if line and not line.startswith("For further information")]
    message = f"prefect deploy: {lines[-1] if lines else 'failed'}"
    if any(word in done.stdout + done.stderr for word in AWAY):
        raise ServiceUnreachable(message)
    raise UsageError(f"{path}: {message}")
