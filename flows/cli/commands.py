"""The public command. It parses, calls, prints and translates errors; nothing is computed here.

Every heavy import stands inside the command that needs it, so that `dagmm --help` answers at once.
"""

from __future__ import annotations

import dataclasses
import sys
import time
import traceback
from pathlib import Path
from typing import Annotated

import typer

from flows.benchmarking import command as benchmark_command
from flows.cli.options import (
    Debug,
    Download,
    EngineName,
    Json,
    ManyValues,
    Quiet,
    SparkSettings,
    engine_of,
    prepare,
    print_json,
    terminable,
)
from flows.common.errors import (
    EXIT_DEFECT,
    EXIT_INTERRUPTED,
    EXIT_NO,
    EXIT_TERMINATED,
    UsageError,
    Verdict,
    exit_code,
    remedy,
)
from flows.services import operations

app = typer.Typer(
    name="dagmm",
    help="Find anomalies in tables with a DAGMM that you can schedule, compare and promote.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(operations.app, name="services")

Data = Annotated[
    str | None, typer.Option("--data", help="Table to read instead of the contract's source.")
]
Dataset = Annotated[
    str, typer.Argument(help="Shipped contract (wdbc, thyroid, …) or contract file.")
]
DeploymentFile = Annotated[
    Path | None, typer.Option("--file", help="A prefect.yaml instead of the shipped one.")
]
Name = Annotated[str, typer.Argument(help="Registered model, e.g. dagmm-wdbc.")]


@app.command()
def train(
    dataset: Dataset = "wdbc",
    data: Data = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file with flow parameters.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Dotted key=value, e.g. detector.settings.epochs=50."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option("--detector", help="Detector to train; `dagmm detectors` lists them."),
    ] = None,
    download: Download = False,
    timings: Annotated[bool, typer.Option("--timings", help="Print where the time went.")] = False,
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Ingest, validate, split, fit, calibrate, evaluate, register and promote.

    Under torchrun (`torchrun --nproc-per-node 2 -m flows.cli train ...`) the ranks fit together.
    """
    from flows.common.config import build_config

    started = time.perf_counter()
    parameters = build_config(dataset, data, config, assignments or [], detector)
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet)
    from flows.pipeline.ingest import find_source

    # A missing file or a broken contract is said before anything is started.
    find_source(dataset, data, settings.data_dir, download=download)
    from flows.pipeline.ranks import follow, joined

    with joined(parameters, settings) as ranks:
        if not ranks.first:
            from flows.pipeline.fit import assist

            follow(ranks, assist)
            return
        from flows.cli.startup import Startup

        with Startup(settings) as startup:
            from flows.orchestration.train_flow import train as flow

            result = flow(parameters)
    seconds = startup.seconds | {name: stage.seconds for name, stage in result.stages().items()}
    seconds["everything"] = time.perf_counter() - started
    if as_json:
        print_json(result.model_dump(mode="json") | {"timings": seconds})
    else:
        from flows.reporting.summary import render

        typer.echo(render(result))
        if timings:
            typer.echo("")
            for stage, spent in seconds.items():
                typer.echo(f"  {stage:<28} {spent:6.1f} s")
    if result.promotion.decision == "rejected":
        raise typer.Exit(EXIT_NO)


@app.command()
def check(
    dataset: Dataset,
    data: Data = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Keep valid rows, quarantine and report here.")
    ] = None,
    download: Download = False,
    engine: EngineName = "local",
    spark: SparkSettings = None,
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Validate a table against its contract and write Data Docs; trains nothing."""
    chosen, spark_settings = engine_of(engine, spark)
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet)
    from flows.cli.checking import check as work
    from flows.pipeline.ingest import find_source

    find_source(dataset, data, settings.data_dir, download=download)
    report = work(dataset, data, output, settings, engine=chosen, spark=spark_settings)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        from flows.reporting.summary import render_check

        typer.echo(render_check(report))
    if not report.passed:
        raise Verdict(report.message)


@app.command()
def contract(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="Table to profile: CSV, Parquet or .mat.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Column that says which rows are anomalous.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Contract file; beside the table by default.")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of contracts, for editors.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Draft a contract from a table: types, ranges, vocabularies, suspicious columns."""
    prepare(as_json=as_json, debug=debug, quiet=quiet)
    from flows.cli.checking import draft

    if schema:
        from data_checks.contract import contract_json_schema

        print_json(contract_json_schema())
        return
    if file is None:
        raise UsageError("name a table to profile, or ask for --schema")
    written, warnings = draft(file, label, output)
    if as_json:
        print_json({"contract": str(written), "warnings": warnings})
        return
    for warning in warnings:
        typer.echo(f"Look at    {warning}")
    typer.echo(f"Contract   {written}")
    typer.echo(f"Next       edit it, then: dagmm check {written}")


@app.command()
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
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew where a run was interrupted.")
    ] = False,
    engine: EngineName = "local",
    spark: SparkSettings = None,
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Score raw rows: energy, p-value, verdict and reasons; a killed run goes on where it was."""
    chosen, spark_settings = engine_of(engine, spark)
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet)
    from flows.scoring.run import score as work

    report = work(
        source,
        output,
        model,
        settings,
        table=table,
        reasons=reasons,
        restart=restart,
        engine=chosen,
        spark=spark_settings,
    )
    if as_json:
        print_json(dataclasses.asdict(report))
    else:
        typer.echo(report.text())


@app.command()
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
    from flows.reporting import summary
    from flows.tracking import tracking

    client = tracking.connect(settings)
    if who := approved_by or rejected_by:
        approve(client, name, version, who, reason, approved=not rejected_by)
    overrides = dict.fromkeys(override or [], reason)
    record = work(
        client, settings, name, version, by=_user(), rehearse=rehearse, overrides=overrides
    )
    if as_json:
        print_json(record.model_dump(mode="json"))
    else:
        typer.echo(summary.decision_card(record))
    if record.decision in {"rejected", "pending approval", "returned"}:
        raise typer.Exit(EXIT_NO)


@app.command()
def rollback(
    name: Name,
    to: Annotated[
        int | None, typer.Option("--to", help="Version to return to; the previous one by default.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit trail.")] = "",
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Put the previous version back in production; needs no data and no training."""
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet)
    from flows.promotion.promote import roll_back
    from flows.reporting import summary
    from flows.tracking import tracking

    record = roll_back(tracking.connect(settings), settings, name, to, by=_user(), reason=reason)
    if as_json:
        print_json(record.model_dump(mode="json"))
    else:
        typer.echo(summary.decision_card(record))
    if record.decision == "returned":
        raise typer.Exit(EXIT_NO)


@app.command()
def history(name: Name, as_json: Json = False, debug: Debug = False, quiet: Quiet = False) -> None:
    """Every decision on a model: when, who, from, to, why."""
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet)
    from flows.promotion import audit
    from flows.tracking import tracking

    client = tracking.connect(settings)
    decisions = audit.history(client, name)
    moved = audit.moved_outside(client, name, decisions)
    if as_json:
        print_json(
            {"decisions": [dataclasses.asdict(d) for d in decisions], "moved_outside": moved}
        )
        return
    from flows.reporting.summary import render_history

    typer.echo(render_history(name, decisions, moved))


app.command(cls=ManyValues)(benchmark_command.benchmark)


@app.command()
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
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet)
    from flows.drift.record import monitor as work
    from flows.drift.verdict import policy_from

    policy = policy_from(assignments or [])
    checked = work(name, settings, data=data, scored=scored, policy=policy)
    if as_json:
        print_json(checked.document())
    else:
        typer.echo(checked.text())
    if checked.report.drifted:
        raise typer.Exit(EXIT_NO)


@app.command()
def detectors(as_json: Json = False, debug: Debug = False, quiet: Quiet = False) -> None:
    """Every detector that `dagmm train --detector` takes: what it is, from where, its limits."""
    from dagmm_model.detectors.catalogue import CATALOGUE

    if as_json:
        print_json({name: dataclasses.asdict(entry) for name, entry in CATALOGUE.items()})
        return
    for name, entry in CATALOGUE.items():
        typer.echo(f"{name:<17} {entry.about}")
        typer.echo(f"{'':<17} {entry.source}" + (f"; {entry.limits}" if entry.limits else ""))


@app.command()
def deploy(
    file: DeploymentFile = None, as_json: Json = False, debug: Debug = False, quiet: Quiet = False
) -> None:
    """Create or update the scheduled deployments on the Prefect server."""
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet)
    from flows.orchestration.deployments import deploy as work

    names = work(settings, file)
    if as_json:
        print_json({"deployments": names})
    else:
        typer.echo("\n".join(f"Deployed   {name}" for name in names))
        typer.echo("Next       prefect worker start --pool dagmm")


@app.command()
def serve(file: DeploymentFile = None, debug: Debug = False, quiet: Quiet = False) -> None:
    """Run the schedules here, in one process, until Ctrl-C."""
    settings = prepare(as_json=False, debug=debug, quiet=quiet)
    from flows.orchestration.deployments import serve as work

    work(settings, file)


@app.command()
def ui(debug: Debug = False, quiet: Quiet = False) -> None:
    """Serve the MLflow and Prefect pages on loopback until Ctrl-C."""
    settings = prepare(as_json=False, debug=debug, quiet=quiet)
    from flows.services.servers import serve_pages

    serve_pages(settings)


def main() -> None:
    """Entry point: one readable message for any error, and an exit code that means something."""
    with terminable() as terminated:
        _run(terminated)


def _run(terminated: list[int]) -> None:
    try:
        code = app(standalone_mode=False)  # of typer.Exit or, for Ctrl-C, Typer's own; else None
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except Exception as error:  # the one place where every error becomes a message
        if hasattr(error, "format_message"):  # click's own usage errors
            typer.echo(f"Error: {error.format_message()}", err=True)
            sys.exit(getattr(error, "exit_code", 2))
        code = exit_code(error)
        if code == EXIT_DEFECT or "--debug" in sys.argv:
            traceback.print_exc()
        prefix = "No" if code == EXIT_NO else "Error"
        message = str(error) or type(error).__name__
        if code == EXIT_DEFECT:
            message = f"{type(error).__name__}: {message} (a defect of dagmm; please report it)"
        typer.echo(f"{prefix}: {message}{remedy(error)}", err=True)
    if code == EXIT_INTERRUPTED:
        typer.echo("interrupted; the same command goes on where it stopped", err=True)
        code = EXIT_TERMINATED if terminated else EXIT_INTERRUPTED
    sys.exit(code)


def _user() -> str:
    import getpass

    return getpass.getuser()
