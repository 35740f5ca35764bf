"""Commands that decide on a version."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from flows.cli.options import Debug, Json, Name, Quiet, Verbose, prepare, print_json
from flows.common.errors import EXIT_NO, UsageError


def promote(
    name: Name,
    version: Annotated[int, typer.Argument(help="Version to judge and, if it passes, promote.")],
    approved_by: Annotated[
        str, typer.Option("--approved-by", help="Record this person's approval; needs --reason.")
    ] = "",
    rejected_by: Annotated[
        str, typer.Option("--rejected-by", help="Record a rejection, which is final.")
    ] = "",
    override: Annotated[
        list[str] | None,
        typer.Option("--override", help="Gate that may fail; recorded, needs --reason."),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit trail.")] = "",
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Judge everything and change nothing.")
    ] = False,
    verbose: Verbose = False,
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Judge a registered version and put it in production if every gate passes."""
    if (approved_by or rejected_by or override) and not reason:
        raise UsageError("an approval, a rejection or an override needs --reason WHY")
    if rehearse and (approved_by or rejected_by):
        raise UsageError("a rehearsal changes nothing: leave --approved-by and --rejected-by out")
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet)
    from flows.promotion.promote import approve
    from flows.promotion.promote import promote as work
    from flows.reporting import screens
    from flows.reporting.terminal import show
    from flows.tracking import tracking

    client = tracking.connect(settings)
    if who := approved_by or rejected_by:
        approve(client, name, version, who, reason, approved=not rejected_by)
    overrides = dict.fromkeys(override or [], reason)
    record = work(
        client,
        settings,
        name,
        version,
        by=getpass.getuser(),
        rehearse=rehearse,
        overrides=overrides,
    )
    if as_json:
        print_json(record.model_dump(mode="json"))
    else:
        show(screens.decision(record, verbose=verbose))
    if record.decision in {"rejected", "pending approval", "returned"}:
        raise typer.Exit(EXIT_NO)


def rollback(
    name: Name,
    to: Annotated[
        int | None, typer.Option("--to", help="Version to return to; the previous one by default.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit trail.")] = "",
    verbose: Verbose = False,
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Put the previous version back in production; needs no data and no training."""
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet)
    from flows.promotion.rollback import roll_back
    from flows.reporting import screens
    from flows.reporting.terminal import show
    from flows.tracking import tracking

    record = roll_back(
        tracking.connect(settings), settings, name, to, by=getpass.getuser(), reason=reason
    )
    if as_json:
        print_json(record.model_dump(mode="json"))
    else:
        show(screens.decision(record, verbose=verbose))
    if record.decision == "returned":
        raise typer.Exit(EXIT_NO)
