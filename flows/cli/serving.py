"""Commands that go on by themselves: schedules, the server of verdicts, and who is told of what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Debug, Json, Model, Quiet, prepare, print_json
from flows.common.errors import EXIT_NO, UsageError

JsonLines = Annotated[
    bool, typer.Option("--json", help="Print one JSON document a line on stdout.")
]
DeploymentFile = Annotated[
    Path | None, typer.Option("--file", help="A prefect.yaml instead of the shipped one.")
]


def deploy(
    file: DeploymentFile = None, as_json: Json = False, debug: Debug = False, quiet: Quiet = False
) -> None:
    """Make the Prefect server hold the deployments and schedules that the file has."""
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet, doing="reading the deployments")
    from flows.orchestration.deployments import deploy as work

    names, removed = work(settings, file)
    if as_json:
        print_json({"deployments": names, "removed": removed})
    else:
        typer.echo("\n".join([*removed, *(f"Deployed   {name}" for name in names)]))
        typer.echo("Next       prefect worker start --pool dagmm")


def serve(file: DeploymentFile = None, debug: Debug = False, quiet: Quiet = False) -> None:
    """Run the schedules here, in one process, until Ctrl-C."""
    settings = prepare(as_json=False, debug=debug, quiet=quiet)
    from flows.orchestration.deployments import serve as work

    work(settings, file)


def api(
    model: Model,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; off loopback a token is required.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="0 for any that is free.")
    ] = 8000,
    poll: Annotated[
        float, typer.Option("--poll", min=0.05, help="Seconds between two looks at the alias.")
    ] = 5.0,
    max_rows: Annotated[
        int, typer.Option("--max-rows", min=1, help="Most rows of a request.")
    ] = 10_000,
    max_megabytes: Annotated[
        float, typer.Option("--max-megabytes", min=0.001, help="Longest body of a request.")
    ] = 16.0,
    shadow: Annotated[
        str,
        typer.Option(
            "--shadow",
            help="Alias or version that scores what was answered and is compared; e.g. challenger.",
        ),
    ] = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Start although no version can be served yet.")
    ] = False,
    as_json: JsonLines = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Serve verdicts over HTTP by the version in production, and follow the alias."""
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet)
    from flows.common import progress

    progress.note("loading the libraries")
    from flows.api.run import ServerOptions
    from flows.api.run import serve as work
    from flows.api.telemetry.news import Events

    options = ServerOptions(host, port, poll, max_rows, max_megabytes, shadow, wait)
    work(model, settings, options, Events(as_json))


def notify(
    test: Annotated[
        bool,
        typer.Option("--test", help="Send a test message to every target; exit 1 if one fails."),
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Show who is told of drift, decisions, failures; --test tells everybody."""
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet)
    from flows.common import progress
    from flows.notify.config import FILE, read_notify
    from flows.notify.tell import try_targets
    from flows.reporting.terminal import sheet, show

    config = read_notify(settings)
    if not config.targets:
        raise UsageError(
            f"nobody is told of anything: write {settings.home / FILE}, or set DAGMM_NOTIFY to "
            "another file; docs/after-promotion.md has an example"
        )
    if test:
        progress.note("sending")
    failed = try_targets(config) if test else {}
    targets = [
        {
            "name": target.name,
            "kind": target.kind,
            "variable": target.url,
            "set": bool(target.address),
            "events": list(target.events),
            **({"arrived": target.name not in failed} if test else {}),
            **({"why": failed[target.name]} if target.name in failed else {}),
        }
        for target in config.targets
    ]
    if as_json:
        print_json(targets)
    else:
        show(sheet([(each["name"], _line(each)) for each in targets]))
    if failed:
        raise typer.Exit(EXIT_NO)


def _line(target: dict[str, object]) -> str:
    from flows.notify.config import KINDS

    events = target["events"]
    assert isinstance(events, list)
    wants = "all events" if len(events) == len(KINDS) else ", ".join(events)
    words = f"{target['kind']} by {target['variable']}: {wants}"
    if "arrived" in target:
        return f"{words}; " + ("taken" if target["arrived"] else f"FAILED: {target['why']}")
    return words if target["set"] else f"{words}; the variable is NOT SET"
