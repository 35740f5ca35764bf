"""The commands of who runs the team set-up: `dagmm services …`. Parses, calls, prints."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Call, command
from flows.common.errors import EXIT_UNREACHABLE

app = typer.Typer(
    help="The team set-up: PostgreSQL, MLflow, Prefect and a worker as plain processes.",
    no_args_is_help=True,
)


@app.command()
@command(without=("as_json", "quiet"))
def run(call: Call) -> None:
    """Start all of them, restart what ends, until Ctrl-C or SIGTERM."""
    call.begin("starting PostgreSQL, MLflow, Prefect and a worker")
    from flows.services.team.services import run_services as work
    from flows.services.team.settings import TeamSettings

    work(TeamSettings())


@app.command()
@command(without=("quiet",))
def status(call: Call) -> None:
    """Ask each service whether it answers; exit code 3 when one does not."""
    from flows.services.team.services import status as work
    from flows.services.team.settings import TeamSettings

    components = work(TeamSettings())
    lines = [
        f"{each.service:<10} {'up  ' if each.up else 'DOWN'} {each.where}"
        + ("" if each.up else f"  log: {each.log}")
        for each in components
    ]
    call.answer(components, lambda: "\n".join(lines))
    if not all(each.up for each in components):
        raise typer.Exit(EXIT_UNREACHABLE)


@app.command()
@command(without=("quiet",))
def env(call: Call) -> None:
    """Print a client's environment, passwords included, for eval."""
    from flows.services.team.settings import TeamSettings, read_secrets

    team = TeamSettings()
    values = team.client_environment(read_secrets(team))
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    typer.echo(json.dumps(values, indent=2) if call.as_json else "\n".join(lines))


@app.command()
@command(without=("quiet",))
def backup(
    call: Call, folder: Annotated[Path, typer.Argument(help="A new folder is made in this one.")]
) -> None:
    """Save the databases and the artifacts, while everybody goes on working."""
    call.begin("saving the databases and the artifacts")
    from flows.services.team.backup import backup as work
    from flows.services.team.settings import TeamSettings

    saved = work(TeamSettings(), folder)
    call.answer({"backup": str(saved)}, lambda: f"Saved      {saved}")


@app.command()
@command(without=("quiet",))
def restore(
    call: Call, folder: Annotated[Path, typer.Argument(help="A folder that `backup` made.")]
) -> None:
    """Put a backup into a new, empty set-up; the services are stopped."""
    call.begin(f"restoring {folder}")
    from flows.services.team.backup import restore as work
    from flows.services.team.settings import TeamSettings

    team = TeamSettings()
    work(team, folder)
    call.answer({"home": str(team.folder)}, lambda: f"Restored   {team.folder}")


@app.command()
@command(without=("quiet",))
def upgrade(call: Call) -> None:
    """Bring the databases to the installed MLflow and Prefect; the services are stopped."""
    call.begin("bringing the databases up to date")
    from flows.services.team.services import upgrade as work
    from flows.services.team.settings import TeamSettings

    names = work(TeamSettings())
    call.answer({"upgraded": names}, lambda: f"Upgraded   {', '.join(names)}")
