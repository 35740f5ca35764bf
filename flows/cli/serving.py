"""Commands that keep running: schedules and the server of verdicts; and who is notified."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Call, Model, command
from flows.common.errors import EXIT_NO, UsageError

JsonLines = Annotated[
    bool, typer.Option("--json", help="Print one JSON document a line on stdout.")
]
DeploymentFile = Annotated[
    Path | None, typer.Option("--file", help="A prefect.yaml instead of the shipped one.")
]


@command
def deploy(call: Call, file: DeploymentFile = None) -> None:
    """Make the Prefect server hold the deployments and schedules that the file has."""
    settings = call.prepare("reading the deployments")
    from flows.orchestration.deployments import deploy as work

    names, removed, pools = work(settings, file)
    lines = [*removed, *(f"Deployed   {name}" for name in names)]
    lines += [f"Next       prefect worker start --pool {pool}" for pool in pools]
    call.answer(
        {"deployments": names, "removed": removed},
        lambda: "\n".join(lines),
    )


@command(without=("as_json",))
def serve(call: Call, file: DeploymentFile = None) -> None:
    """Run the schedules here, in one process, until Ctrl-C."""
    settings = call.prepare("reading the schedules")
    from flows.orchestration.deployments import serve_schedules as work

    work(settings, file)


@command(without=("as_json",))
def api(
    call: Call,
    model: Model,
    host: Annotated[
        str, typer.Option(help="Where to listen; off loopback a token is required.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 for any that is free.")] = 8000,
    poll: Annotated[
        float, typer.Option(min=0.05, max=86_400, help="Seconds between two looks at the alias.")
    ] = 5.0,
    max_rows: Annotated[int, typer.Option(min=1, help="Most rows of a request.")] = 10_000,
    max_megabytes: Annotated[
        float, typer.Option(min=0.001, max=100_000, help="Longest body of a request.")
    ] = 16.0,
    processes: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=64,
            help="Most processes that score large requests which come at once; 0 for none. "
            "One a processor unless given.",
        ),
    ] = None,
    shadow: Annotated[
        str,
        typer.Option(
            help="Alias or version that scores what was answered and is compared; e.g. challenger."
        ),
    ] = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Start although no version can be served yet.")
    ] = False,
    as_json: JsonLines = False,
) -> None:
    """Serve verdicts over HTTP by the version in production, and follow the alias."""
    settings = replace(call, as_json=as_json).prepare()
    from flows.common import progress

    progress.note("loading the libraries")
    from flows.api.run import ServerOptions
    from flows.api.run import serve as work
    from flows.api.telemetry.log_lines import Events

    options = ServerOptions(host, port, poll, max_rows, max_megabytes, processes, shadow, wait)
    work(model, settings, options, Events(as_json))


@command
def notify(
    call: Call,
    test: Annotated[
        bool,
        typer.Option("--test", help="Send a test message to every target; exit 1 if one fails."),
    ] = False,
) -> None:
    """Show who is notified of drift, decisions and failures; --test notifies everybody."""
    settings = call.prepare()
    from flows.common import progress
    from flows.notify.config import FILE, read_notify
    from flows.notify.tell import try_targets
    from flows.reporting.terminal import sheet

    config = read_notify(settings)
    if not config.targets:
        raise UsageError(
            f"nobody is notified of anything: write {settings.home / FILE}, or set DAGMM_NOTIFY to "
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
    call.answer(targets, lambda: sheet([(each["name"], _line(each)) for each in targets]))
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
