"""Commands that show what there is."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import Debug, Json, Name, Quiet, prepare, print_json


def models(
    name: Annotated[
        str | None, typer.Argument(help="Registered model; all of them by default.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Versions with their aliases, detectors and figures, since when and why."""
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet, doing="reading the registry")
    from flows.reporting.terminal import show
    from flows.review import screens
    from flows.review.listing import list_versions
    from flows.tracking.home_store import reader

    versions = list_versions(reader(settings), name)
    if as_json:
        print_json([listed.document() for listed in versions])
    else:
        show(screens.models(versions))


def history(name: Name, as_json: Json = False, debug: Debug = False, quiet: Quiet = False) -> None:
    """Every decision on a model: when, who, from, to, why."""
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet)
    from flows.promotion import audit, standing_hold
    from flows.tracking.home_store import reader

    client = reader(settings)
    decisions = audit.history(client, name)
    moved = audit.moved_outside(client, name, decisions)
    held = standing_hold.standing(decisions)
    on_hold = held.text() if held else ""
    if as_json:
        print_json(
            {
                "decisions": [d.document() for d in decisions],
                "moved_outside": moved,
                "held": on_hold,
            }
        )
        return
    from flows.reporting import screens
    from flows.reporting.terminal import show

    show(screens.history(name, decisions, moved, on_hold))


def ui(debug: Debug = False, quiet: Quiet = False) -> None:
    """Serve the pages of MLflow and Prefect, and those of the verdicts, until Ctrl-C."""
    settings = prepare(as_json=False, debug=debug, quiet=quiet)
    from flows.intake.pages import verdict_pages
    from flows.services.pages import serve_pages
    from flows.tracking.home_store import links

    with verdict_pages(settings) as verdicts:
        serve_pages(settings, lambda address: links(settings, address), verdicts)
