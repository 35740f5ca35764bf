"""The deployments of `prefect.yaml`: applied to a server, or served by one local process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import typer
import yaml

from flows.common.errors import ServiceUnreachable, UsageError
from flows.common.settings import Settings
from flows.services.servers import start_prefect, stop, wait_for

DEFINITIONS = Path(__file__).parents[1] / "prefect.yaml"
PROJECT = DEFINITIONS.parents[1]


def read_deployments(file: Path | None) -> list[dict[str, Any]]:
    """Deployments of a `prefect.yaml`, the shipped one unless another is given.

    Raises:
        UsageError: The file cannot be read or defines no deployment.
    """
    path = file or DEFINITIONS
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))["deployments"]
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise UsageError(f"{path}: cannot be read as a prefect.yaml ({error})") from None
    if not found:
        raise UsageError(f"{path} defines no deployment")
    return found


def deploy(settings: Settings, file: Path | None) -> list[str]:
    """Create or update every deployment, and their work pools, on the configured Prefect server.

    Returns:
        Names of the deployments. Applying the same file again changes nothing.

    Raises:
        UsageError: No Prefect server is configured.
        ServiceUnreachable: Prefect refused; its own message is in ours.
    """
    if settings.prefect_api_url is None:
        raise UsageError(
            "PREFECT_API_URL is not set: deployments live on a Prefect server. "
            "`dagmm serve` runs the schedules here without one"
        )
    deployments = read_deployments(file)
    for pool in sorted({str(item["work_pool"]["name"]) for item in deployments}):
        _prefect("work-pool", "create", pool, "--type", "process", "--overwrite")
    _prefect("--no-prompt", "deploy", "--all", "--prefect-file", str(file or DEFINITIONS))
    return [_full_name(item) for item in deployments]


def serve(settings: Settings, file: Path | None) -> None:
    """Run the schedules in this process until Ctrl-C; starts a Prefect server if none is set."""
    deployments = read_deployments(file)
    server = None
    if settings.prefect_api_url is None:
        server = start_prefect(settings.prefect_port)
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{settings.prefect_port}/api"
        wait_for(f"{os.environ['PREFECT_API_URL']}/health", server)
    try:
        from prefect import serve as run_forever
        from prefect.client.schemas.objects import ConcurrencyLimitConfig

        from flows.orchestration.score_flow import deployable

        runnable = [
            deployable(item["entrypoint"]).to_deployment(
                name=item["name"],
                description=item.get("description"),
                tags=item.get("tags"),
                parameters=item.get("parameters"),
                schedules=[_schedule(each) for each in item.get("schedules", [])],
                concurrency_limit=ConcurrencyLimitConfig(**item["concurrency_limit"]),
            )
            for item in deployments
        ]
        typer.echo(f"Serving {', '.join(_full_name(item) for item in deployments)}")
        typer.echo(f"Prefect  {os.environ['PREFECT_API_URL'].removesuffix('/api')}")
        run_forever(*runnable, pause_on_shutdown=False)
    finally:
        if server is not None:
            stop(server)


def _full_name(deployment: dict[str, Any]) -> str:
    return f"{deployment['entrypoint'].rpartition(':')[2]}/{deployment['name']}"


def _schedule(values: dict[str, Any]) -> Any:
    from prefect.schedules import Cron, Interval

    shared = {name: values[name] for name in ("timezone", "slug", "active") if name in values}
    if "cron" in values:
        return Cron(values["cron"], **shared)
    return Interval(values["interval"], **shared)


def _prefect(*arguments: str) -> None:
    program = Path(sys.executable).with_name("prefect")
    done = subprocess.run(  # noqa: S603
        [program, *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ServiceUnreachable(f"prefect {arguments[0]}: {said[-1] if said else 'failed'}")
