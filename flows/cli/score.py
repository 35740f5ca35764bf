"""Commands that take rows: score them, compare them with the training, say what they were."""

from typing import Annotated, Literal

import typer

from flows.cli.options import Call, EngineName, Model, SparkSettings, command, engine_of
from flows.common.errors import EXIT_NO, UsageError, Verdict


@command
def score(
    call: Call,
    source: Annotated[str, typer.Argument(metavar="INPUT", help="Raw rows to score.")],
    output: Annotated[
        str,
        typer.Argument(help="Result: .parquet, .csv, FOLDER/, or a database's address (--table)."),
    ],
    model: Annotated[
        str, typer.Option(help="Model, e.g. models:/dagmm-wdbc@production.")
    ] = "models:/dagmm-wdbc@production",
    table: Annotated[
        str | None, typer.Option(help="Table of the database; its rows are replaced.")
    ] = None,
    reasons: Annotated[
        str, typer.Option(help="Columns named for each anomaly; none, or all for all rows.")
    ] = "3",
    fdr: Annotated[
        float | None,
        typer.Option(
            help="False discovery rate: at most this share of the batch's anomalies is false, e.g. "
            "0.1; in place of the threshold."
        ),
    ] = None,
    review: Annotated[
        int | None,
        typer.Option(
            help="Also write a file for people to judge: the alerts, and so many rows drawn below "
            "the threshold; see `dagmm verdicts`."
        ),
    ] = None,
    outside: Annotated[
        str | None,
        typer.Option(help="Values outside vocabulary or range: mark (score and say so) or reject."),
    ] = None,
    shadow: Annotated[
        str | None,
        typer.Option(
            help="Alias or version that scores the same rows and is compared; e.g. challenger."
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start over instead of resuming an interrupted run.")
    ] = False,
    engine: EngineName = "local",
    spark: SparkSettings = None,
) -> None:
    """Score raw rows: energy, p-value, verdict, reasons; a killed run resumes where it stopped."""
    chosen, spark_settings = engine_of(engine, spark)
    settings = call.prepare(f"scoring {source} with {model}")
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
    document, text = report.document(), report.text()
    if candidate is not None:
        document["shadow"] = compared = candidate.finish()
        text = f"{text}\n{compared.text()}"
    from flows.reporting.terminal import labelled_sheet

    call.answer(document, lambda: labelled_sheet(text))
    if report.failure:
        raise Verdict(report.failure)


def _outside(word: str | None) -> Literal["mark", "reject"] | None:
    if word not in (None, "mark", "reject"):
        raise UsageError(f"--outside {word}: say mark or reject")
    return word


@command
def monitor(
    call: Call,
    model: Model = "dagmm-wdbc",
    data: Annotated[
        str | None, typer.Option(help="Window of raw rows; they are scored now.")
    ] = None,
    scored: Annotated[
        str | None, typer.Option(help="Or a result of `dagmm score`: energies only.")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, e.g. level=0.001.")
    ] = None,
) -> None:
    """Compare a window of rows with what a version was trained on; exit 1 on drift."""
    settings = call.prepare(f"comparing {data or scored} with what {model} was trained on")
    from flows.drift.comparison import policy_from
    from flows.drift.record import monitor as work

    policy = policy_from(assignments or [])
    checked = work(model, settings, data=data, scored=scored, policy=policy)
    from flows.reporting.terminal import labelled_sheet

    call.answer(checked.document(), lambda: labelled_sheet(checked.text()))
    if checked.report.drifted:
        raise typer.Exit(EXIT_NO)


@command
def verdicts(
    call: Call,
    model: Model,
    data: Annotated[
        str | None, typer.Option(help="CSV or Parquet with a column `verdict`; else what is known.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option(help="Raw rows that were scored, where --data has their `row_id`.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Who judged, where the file has no column `who`.")
    ] = None,
) -> None:
    """Take verdicts on scored rows (anomaly, normal, unsure); live precision and recall."""
    if data is None and (rows is not None or by is not None):
        raise UsageError("--rows and --by go with --data")
    settings = call.prepare(f"reading {data}" if data else f"reading the verdicts on {model}")
    from flows.intake.import_file import give_verdicts
    from flows.intake.screen import verdicts_report
    from flows.tracking import tracking

    client = tracking.connect(settings, patient=False)
    given = give_verdicts(client, settings, model, data, rows=rows, by=by)
    call.answer(given, lambda: verdicts_report(given))
