"""`dagmm services`: the servers of a team as plain processes, started in order and watched.

PostgreSQL, then MLflow (with logins, artifacts through the server) and Prefect, then a worker.
`deploy/compose.yaml` describes the same four in containers.
"""

import json
import os
import platform
import subprocess
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import typer

from flows.common.errors import ServiceUnreachable, UsageError
from flows.common.settings import Settings
from flows.notify.event import Event
from flows.notify.tell import tell
from flows.services import servers
from flows.services.team.settings import (
    DATABASES,
    MLFLOW,
    MLFLOW_AUTH,
    PREFECT,
    TeamSettings,
    read_secrets,
)
from flows.stages.workspace import alone

TEAM = ("psycopg", "flask_wtf")
"""What the extra `team` brings."""
WATCH_SECONDS = 1.0
ENDS_TOO_SOON = 60.0
"""A server that lives for less after a restart will not live longer after the next one."""
PROJECT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class ServiceHealth:
    """Whether one service answers, and what to look at when it does not."""

    service: str
    up: bool
    where: str
    log: str


def run_services(team: TeamSettings) -> None:
    """Start everything, print how clients reach it, restart what ends, until Ctrl-C or SIGTERM.

    Raises:
        UsageError: It runs already in this folder, or a secret is not fit to be exposed.
        ServiceUnreachable: A service did not start, or ended again right after a restart.
    """
    if missing := [module for module in TEAM if find_spec(module) is None]:
        raise UsageError(
            f"dagmm services needs {', '.join(missing)}: pip install 'dagmm-pipeline[team]'"
        )
    secret = read_secrets(team)
    (team.folder / "logs").mkdir(parents=True, exist_ok=True)
    with one_supervisor(team):
        _let_through(team)
        _run(team, secret)


def _let_through(team: TeamSettings) -> None:
    """Root's PostgreSQL runs as somebody else, who must get through a home that only root reads."""
    home, folder = Settings().home.resolve(), team.folder.resolve()
    if os.geteuid() == 0 and folder.is_relative_to(home):
        for each in (folder, *folder.parents):
            if each.is_relative_to(home):
                each.chmod(each.stat().st_mode | 0o011)


def _run(team: TeamSettings, secret: dict[str, str]) -> None:
    database = team.postgres(secret)
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        database.start()
        database.create_missing(DATABASES)
        typer.echo(f"PostgreSQL 127.0.0.1:{team.postgres_port}")
        starts = _starts(team, secret)
        for name in ("MLflow", "Prefect"):
            running[name] = starts[name]()
        for name, url in _health(team).items():
            servers.wait_for(url, running[name], _log(team, name))
            typer.echo(f"{name:<10} {url.removesuffix('/health').removesuffix('/api')}")
        running["worker"] = starts["worker"]()
        typer.echo(f"worker     of the pool {team.pool}")
        typer.echo('Clients    eval "$(dagmm services env)"')
        typer.echo("Ctrl-C stops all of them.")
        _watch(running, starts, database.running, database.start)
    except KeyboardInterrupt:
        typer.echo("stopped")
    finally:
        for server in reversed(running.values()):
            servers.stop(server)
        if database.running():
            database.stop()


def status(team: TeamSettings) -> list[ServiceHealth]:
    """Health of the four services, asked for as a client would."""
    secret = read_secrets(team)
    database = team.postgres(secret)
    try:
        database.client("psql", "-d", MLFLOW, "-Atc", "SELECT 1")
        up = True
    except ServiceUnreachable:
        up = False
    components = [
        ServiceHealth("PostgreSQL", up, f"127.0.0.1:{team.postgres_port}", str(database.log))
    ]
    for name, url in _health(team).items():
        components.append(ServiceHealth(name, servers.answers(url), url, str(_log(team, name))))
    online = _online_workers(team, secret)
    where = f"pool {team.pool}: {', '.join(online) or 'no worker is online'}"
    return [*components, ServiceHealth("worker", bool(online), where, str(_log(team, "worker")))]


def upgrade(team: TeamSettings) -> list[str]:
    """Bring every database to the schema of the installed MLflow and Prefect; servers stopped.

    Returns:
        What was upgraded.

    Raises:
        UsageError: The services run.
        ServiceUnreachable: A program failed; its own message is in ours.
    """
    secret = read_secrets(team)
    database = team.postgres(secret)
    with one_supervisor(team):
        database.start()
        try:
            database.create_missing(DATABASES)
            mlflow, auth = (database.uri("psycopg", name) for name in (MLFLOW, MLFLOW_AUTH))
            commands = {
                MLFLOW: ("-m", "mlflow", "db", "upgrade", mlflow),
                MLFLOW_AUTH: ("-m", "mlflow.server.auth", "db", "upgrade", "--url", auth),
                PREFECT: ("-m", "prefect", "server", "database", "upgrade", "-y"),
            }
            environment = _database_environment(team, secret)
            log = team.folder / "logs" / "upgrade.log"
            log.parent.mkdir(exist_ok=True)
            for name, command in commands.items():
                if servers.start(*command, environment=environment, log=log).wait():
                    raise ServiceUnreachable(
                        f"upgrade of the database {name} failed: {servers.log_tail(log)}"
                    )
        finally:
            database.stop()
    return list(commands)


def one_supervisor(team: TeamSettings) -> AbstractContextManager[None]:
    """Keep everybody else from starting, saving or upgrading the services of this folder.

    Raises:
        UsageError: Somebody is at it.
    """
    team.folder.mkdir(parents=True, exist_ok=True)
    return alone(
        team.folder / "lock", f"the services of {team.folder} are running; stop them first"
    )


def _starts(
    team: TeamSettings, secret: dict[str, str]
) -> dict[str, Callable[[], subprocess.Popen[bytes]]]:
    """How each server is started, and started again."""
    environment = _database_environment(team, secret)
    team.artifacts.mkdir(parents=True, exist_ok=True)
    return {
        "MLflow": lambda: servers.start(
            "-m", "mlflow", "server", "--app-name", "basic-auth",
            "--artifacts-destination", team.artifacts.as_uri(),
            "--host", team.host, "--port", str(team.mlflow_port),
            "--workers", str(team.mlflow_workers),
            environment=environment,
            log=_log(team, "MLflow"),
        ),
        "Prefect": lambda: servers.start_prefect(
            team.prefect_port, _log(team, "Prefect"), team.host, environment
        ),
        "worker": lambda: servers.start(
            "-m", "prefect", "worker", "start", "--pool", team.pool, "--type", "process",
            environment={
                **team.client_environment(secret),
                "DAGMM_HOME": str(Settings().home.resolve()),
            },
            log=_log(team, "worker"),
            cwd=PROJECT,
        ),
    }  # fmt: skip


def _database_environment(team: TeamSettings, secret: dict[str, str]) -> dict[str, str]:
    """Environment of MLflow and Prefect: addresses without passwords, passwords by themselves."""
    database = team.postgres(secret)
    login = team.folder / "mlflow-login.ini"
    login.write_text(
        "[mlflow]\n"
        "default_permission = READ\n"
        f"database_uri = {database.uri('psycopg', MLFLOW_AUTH)}\n"
        f"admin_username = {team.admin}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        # Checking a password takes 0.3 s of a core, and a training asks 500 times.
        "auth_cache_ttl_seconds = 60\n",
        encoding="utf-8",
    )
    return {
        **{name: value for name, value in secret.items() if name != "POSTGRES_PASSWORD"},
        "PGPASSWORD": secret["POSTGRES_PASSWORD"],
        "MLFLOW_BACKEND_STORE_URI": database.uri("psycopg", MLFLOW),
        "MLFLOW_AUTH_CONFIG_PATH": str(login),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.uri("asyncpg", PREFECT),
        "PREFECT_HOME": str(team.folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        **servers.pages_of_prefect(team.folder / "prefect"),
        "PREFECT_API_AUTH_STRING": secret["PREFECT_SERVER_API_AUTH_STRING"],
    }


def _watch(
    running: dict[str, subprocess.Popen[bytes]],
    starts: dict[str, Callable[[], subprocess.Popen[bytes]]],
    database_runs: Callable[[], bool],
    start_database: Callable[[], None],
) -> None:
    """Start again what ends by itself, until the caller is interrupted."""
    started = dict.fromkeys(running, float("-inf"))
    while True:
        time.sleep(WATCH_SECONDS)
        if not database_runs():
            typer.echo("PostgreSQL ended; starting it again")
            _tell("PostgreSQL", "ended; it is being started again")
            start_database()
        for name, server in running.items():
            if server.poll() is None:
                continue
            if time.monotonic() - started[name] < ENDS_TOO_SOON:
                _tell(name, "ended again right after a restart: everything is stopped")
                raise ServiceUnreachable(f"{name} ended again right after a restart; see its log")
            typer.echo(f"{name} ended with code {server.returncode}; starting it again")
            _tell(name, f"ended with code {server.returncode}; it is being started again")
            servers.stop(server)  # what it left of its process group
            running[name], started[name] = starts[name](), time.monotonic()


def _tell(name: str, what: str) -> None:
    reason = f"{name} on {platform.node()} {what}; see its log"
    tell(Settings(), Event(kind="service-down", subject=name, reason=reason, same=what))


def _online_workers(team: TeamSettings, secret: dict[str, str]) -> list[str]:
    user = secret["PREFECT_SERVER_API_AUTH_STRING"].encode()
    request = urllib.request.Request(  # noqa: S310
        f"{team.prefect_api_url}/work_pools/{team.pool}/workers/filter",
        b"{}",
        {
            "Content-Type": "application/json",
            "Authorization": f"Basic {b64encode(user).decode()}",
        },
    )
    try:
        with servers.OPENER.open(request, timeout=5) as answer:
            return [each["name"] for each in json.load(answer) if each["status"] == "ONLINE"]
    except OSError:
        return []


def _health(team: TeamSettings) -> dict[str, str]:
    return {"MLflow": f"{team.mlflow_url}/health", "Prefect": f"{team.prefect_api_url}/health"}


def _log(team: TeamSettings, name: str) -> Path:
    return team.folder / "logs" / f"{name.lower()}.log"
