"""Commands that put a version to work: score, watch, schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from data_checks.base.visible import visible
from flows.cli.options import (
    Debug,
    EngineName,
    Json,
    Model,
    Name,
    Quiet,
    SparkSettings,
    engine_of,
    prepare,
    print_json,
)
from flows.common.errors import EXIT_NO, UsageError, Verdict

JsonLines = Annotated[
    bool, typer.Option("--json", help="Print one JSON document a line on stdout.")
]
DeploymentFile = Annotated[
    Path | None, typer.Option("--file", help="A prefect.yaml instead of the shipped one.")
]


def score(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="Raw rows to score.")],
    output: Annotated[
        str,
        typer.Argument(help="Result: .parquet, .csv, FOLDER/, or a database's address (--table)."),
    ],
    model: Annotated[
        str, typer.Option("--model", help="Model, e.g. models:/dagmm-wdbc@production.")
    ] = "models:/dagmm-wdbc@production",
    table: Annotated[
        str | None, typer.Option("--table", help="Table of the database; its rows are replaced.")
    ] = None,
    reasons: Annotated[
        str,
        typer.Option(
            "--reasons", help="Columns named for each anomaly; none, or all for all rows."
        ),
    ] = "3",
    fdr: Annotated[
        float | None,
        typer.Option("--fdr", help="Share of false calls among this batch's anomalies, e.g. 0.1."),
    ] = None,
    review: Annotated[
        int | None,
        typer.Option(
            "--review",
            help="Also write a file for people to judge: the alerts, and so many rows drawn below "
            "the threshold; see `dagmm verdicts`.",
        ),
    ] = None,
    outside: Annotated[
        str | None,
        typer.Option(
            "--outside",
            help="Values outside vocabulary or range: mark (score and say so) or reject.",
        ),
    ] = None,
    shadow: Annotated[
        str | None,
        typer.Option(
            "--shadow",
            help="Alias or version that scores the same rows and is compared; e.g. challenger.",
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start over instead of resuming an interrupted run.")
    ] = False,
    engine: EngineName = "local",
    spark: SparkSettings = None,
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Score raw rows: energy, p-value, verdict, reasons; a killed run resumes where it stopped."""
    chosen, spark_settings = engine_of(engine, spark)
    settings = prepare(
        as_json=as_json, debug=debug, quiet=quiet, doing=f"scoring {source} with {model}"
    )
    from flows.scoring.run import score as work

    candidate = None
    if shadow is not None:
        from flows.shadow.batch import BatchShadow, check_shadow

        check_shadow(shadow, chosen, fdr)
        candidate = BatchShadow(settings, shadow)
    report = work(
        source,
        output,
        model,
        settings,
        table=table,
        reasons=reasons,
        restart=restart,
        outside=_outside(outside),
        engine=chosen,
        spark=spark_settings,
        fdr=fdr,
        also=candidate,
        review_rows=review,
    )
    compared = None if candidate is None else candidate.finish()
    if as_json:
        facts = {} if compared is None else {"shadow": compared.document()}
        print_json({**report.document(), **facts})
    else:
        text = report.text() if compared is None else f"{report.text()}\n{compared.text()}"
        typer.echo(visible(text))
    if report.failure:
        raise Verdict(report.failure)


def _outside(word: str | None) -> Literal["mark", "reject"] | None:
    if word not in (None, "mark", "reject"):
        raise UsageError(f"--outside {word}: say mark or reject")
    return word


def monitor(
    name: Name = "dagmm-wdbc",
    data: Annotated[
        str | None, typer.Option("--data", help="Window of raw rows; they are scored now.")
    ] = None,
    scored: Annotated[
        str | None, typer.Option("--scored", help="Or a result of `dagmm score`: energies only.")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, e.g. level=0.001.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Compare a window of rows with what the production model was trained on; exit 1 on drift."""
    settings = prepare(
        as_json=as_json,
        debug=debug,
        quiet=quiet,
        doing=f"comparing {data or scored} with what {name} was trained on",
    )
    from flows.drift.record import monitor as work
    from flows.drift.verdict import policy_from

    policy = policy_from(assignments or [])
    checked = work(name, settings, data=data, scored=scored, policy=policy)
    if as_json:
        print_json(checked.document())
    else:
        typer.echo(visible(checked.text()))
    if checked.report.drifted:
        raise typer.Exit(EXIT_NO)


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
