"""The commands of who runs the team set-up: `dagmm services …`. Parses, calls, prints."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Debug, Json
from flows.common.errors import EXIT_UNREACHABLE

app = typer.Typer(
    help="The team set-up: PostgreSQL, MLflow, Prefect and a worker as plain processes.",
    no_args_is_help=True,
)


@app.command()
def run(debug: Debug = False) -> None:
    """Start all of them, restart what ends, until Ctrl-C or SIGTERM."""
    from flows.services.team.services import run as work
    from flows.services.team.settings import TeamSettings

    work(TeamSettings())


@app.command()
def status(as_json: Json = False, debug: Debug = False) -> None:
    """Ask each service whether it answers; exit code 3 when one does not."""
    from flows.services.team.services import status as work
    from flows.services.team.settings import TeamSettings

    components = work(TeamSettings())
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(each) for each in components], indent=2))
    else:
        for each in components:
            advice = "" if each.up else f"  log: {each.log}"
            typer.echo(f"{each.service:<10} {'up  ' if each.up else 'DOWN'} {each.where}{advice}")
    if not all(each.up for each in components):
        raise typer.Exit(EXIT_UNREACHABLE)


@app.command()
def env(as_json: Json = False, debug: Debug = False) -> None:
    """Print a client's environment, passwords included, for eval."""
    from flows.services.team.settings import TeamSettings, read_secrets

    team = TeamSettings()
    values = team.client_environment(read_secrets(team))
    if as_json:
        typer.echo(json.dumps(values, indent=2))
    else:
        typer.echo("\n".join(f"export {name}={shlex.quote(v)}" for name, v in values.items()))


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder is made in this one.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Save the databases and the artifacts, while everybody goes on working."""
    from flows.services.team.backup import backup as work
    from flows.services.team.settings import TeamSettings

    saved = work(TeamSettings(), folder)
    typer.echo(json.dumps({"backup": str(saved)}) if as_json else f"Saved      {saved}")


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `backup` made.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Put a backup into a new, empty set-up; the services are stopped."""
    from flows.services.team.backup import restore as work
    from flows.services.team.settings import TeamSettings

    team = TeamSettings()
    work(team, folder)
    typer.echo(json.dumps({"home": str(team.folder)}) if as_json else f"Restored   {team.folder}")


@app.command()
def upgrade(as_json: Json = False, debug: Debug = False) -> None:
    """Bring the databases to the installed MLflow and Prefect; the services are stopped."""
    from flows.services.team.services import upgrade as work
    from flows.services.team.settings import TeamSettings

    names = work(TeamSettings())
    typer.echo(json.dumps({"upgraded": names}) if as_json else f"Upgraded   {', '.join(names)}")
