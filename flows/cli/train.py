"""Commands that lead to a version: a contract, its check, detectors, training."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated

import typer

from data_checks.base.visible import visible
from flows.cli.options import (
    Data,
    Dataset,
    Debug,
    Download,
    EngineName,
    Json,
    Quiet,
    SparkSettings,
    Verbose,
    complete_detector,
    engine_of,
    prepare,
    print_json,
)
from flows.common.errors import EXIT_NO, UsageError, Verdict


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
        typer.Option(
            "--detector",
            help="Detector to train; `dagmm detectors` lists them. auto: the data choose.",
            autocompletion=complete_detector,
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option("--engine", help="Of DAGMM: auto, numpy, torch, torch-graph, torch-triton."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", help="auto (a GPU where it is worth it), cpu, cuda or cuda:N."),
    ] = None,
    download: Download = False,
    timings: Annotated[bool, typer.Option("--timings", help="Print where the time went.")] = False,
    verbose: Verbose = False,
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Ingest, validate, split, fit, calibrate, evaluate, register and promote.

    Under torchrun (`torchrun --nproc-per-node 2 -m flows.cli train ...`) the ranks fit together.
    """
    from flows.common.config import build_config

    started = time.perf_counter()
    chosen = {"engine": engine, "device": device}
    named = [f"detector.settings.{name}={value}" for name, value in chosen.items() if value]
    parameters = build_config(dataset, data, config, [*(assignments or []), *named], detector)
    settings = prepare(
        as_json=as_json,
        debug=debug,
        quiet=quiet,
        doing=f"training on {dataset}: loading the libraries, starting Prefect",
    )
    from flows.pipeline.ingest import find_source
    from flows.tracking.signature import check_settings

    # A missing file, a broken contract or a lost key is said before anything is started.
    check_settings(settings)
    find_source(dataset, data, settings.data_dir, download=download)
    from flows.pipeline.fitting.ranks import follow, joined

    with joined(parameters, settings) as ranks:
        if not ranks.first:
            from flows.pipeline.fitting.fit import assist

            follow(ranks, assist)
            return
        from flows.services.startup import Startup

        with Startup(settings) as startup:
            from prefect import tags

            from flows.orchestration.train_flow import train as flow

            with tags("dagmm", "train", "command"):
                result = flow(parameters)
    seconds = startup.seconds | {name: stage.seconds for name, stage in result.stages().items()}
    seconds["everything"] = time.perf_counter() - started
    if as_json:
        print_json(result.model_dump(mode="json") | {"timings": seconds})
    else:
        from flows.reporting import screens
        from flows.reporting.terminal import show

        show(screens.training(result, verbose=verbose))
        if timings:
            typer.echo("")
            for stage, spent in seconds.items():
                typer.echo(f"  {stage:<28} {spent:6.1f} s")
    if result.promotion.decision == "rejected":
        raise typer.Exit(EXIT_NO)


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
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet, doing=f"checking {dataset}")
    from flows.cli.checking import check as work
    from flows.pipeline.ingest import find_source

    find_source(dataset, data, settings.data_dir, download=download)
    report = work(dataset, data, output, settings, engine=chosen, spark=spark_settings)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        from flows.reporting import screens
        from flows.reporting.terminal import show

        show(screens.check(report))
    if not report.passed:
        raise Verdict(report.message)


def contract(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="Table to profile: CSV, Parquet or .mat.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Column that says which rows are anomalous.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Contract file; next to the table by default.")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of contracts, for editors.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Draft a contract from a table: types, ranges, vocabularies, suspicious columns."""
    prepare(as_json=as_json, debug=debug, quiet=quiet, doing=f"reading {file}" if file else "")
    from flows.cli.checking import draft

    if schema:
        from data_checks.contract.model import contract_json_schema

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
    typer.echo(visible(f"Contract   {written}"))
    typer.echo(visible(f"Next       edit it, then: dagmm check {written}"))


def detectors(as_json: Json = False, debug: Debug = False, quiet: Quiet = False) -> None:
    """Every detector that `dagmm train --detector` takes: what it is, from where, its limits."""
    from dagmm_model.detectors.catalogue import CATALOGUE

    if as_json:
        print_json({name: dataclasses.asdict(entry) for name, entry in CATALOGUE.items()})
        return
    for name, entry in CATALOGUE.items():
        typer.echo(f"{name:<17} {entry.about}")
        typer.echo(f"{'':<17} {entry.source}" + (f"; {entry.limits}" if entry.limits else ""))
