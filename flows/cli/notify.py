"""The command that shows who is told of what, and tries it."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import Debug, Json, Quiet, prepare, print_json
from flows.common.errors import EXIT_NO, UsageError


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
