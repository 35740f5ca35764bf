"""Commands that show what there is."""

from typing import Annotated

import typer

from flows.cli.options import Call, Name, command


@command
def models(
    call: Call,
    name: Annotated[
        str | None, typer.Argument(help="Registered model; all of them by default.")
    ] = None,
) -> None:
    """Versions with their aliases, detectors and figures, since when and why."""
    settings = call.prepare("reading the registry")
    from flows.review import screens
    from flows.review.listing import list_versions
    from flows.tracking.reader import reader

    versions = list_versions(reader(settings), name)
    call.answer(versions, lambda: screens.models(versions))


@command
def history(call: Call, name: Name) -> None:
    """Every decision on a model: when, who, from, to, why."""
    settings = call.prepare(f"reading the decisions on {name}")
    from flows.promotion import audit, rollback_hold
    from flows.reporting import screens
    from flows.tracking import registry
    from flows.tracking.reader import reader

    client = reader(settings)
    decisions = audit.history(client, name)
    now = registry.version_behind(client, name, registry.PRODUCTION)
    moved = audit.moved_outside(client, name, decisions)
    held = rollback_hold.current_hold(decisions)
    on_hold = held.text() if held else ""
    document = {"decisions": decisions, "moved_outside": moved, "held": on_hold}
    call.answer(document, lambda: screens.history_page(name, decisions, now, moved, on_hold))


@command(without=("as_json",))
def ui(call: Call) -> None:
    """Serve the pages of MLflow and Prefect, and those of the verdicts, until Ctrl-C."""
    settings = call.prepare("loading the libraries")
    from flows.intake.pages import verdict_pages
    from flows.services.pages import serve_pages
    from flows.tracking.home.reading import links

    with verdict_pages(settings) as verdicts:
        serve_pages(settings, lambda address: links(settings, address), verdicts)
