"""The command by which people say what scored rows really are."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import Debug, Json, Model, Quiet, prepare, print_json
from flows.common.errors import UsageError


def verdicts(
    model: Model,
    data: Annotated[
        str | None,
        typer.Option("--data", help="CSV or Parquet with a column `verdict`; else what is known."),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option("--rows", help="Raw rows that were scored, where --data has their `row_id`."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", help="Who judged, where the file has no column `who`."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Take verdicts on scored rows (anomaly, normal, unsure); live precision and recall."""
    if data is None and (rows is not None or by is not None):
        raise UsageError("--rows and --by go with --data")
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet)
    from flows.intake.give import give_verdicts
    from flows.intake.screen import report
    from flows.reporting.terminal import show
    from flows.tracking import tracking

    client = tracking.connect(settings)
    given = give_verdicts(client, settings, model, data, rows=rows, by=by)
    if as_json:
        print_json(given.document())
    else:
        show(report(given))
