"""Commands that lead to a version: a contract, its check, detectors, training."""

import json
import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import (
    Call,
    Data,
    Dataset,
    Download,
    EngineName,
    SparkSettings,
    Verbose,
    command,
    complete_detector,
    engine_of,
)
from flows.common.errors import EXIT_NO, UsageError, Verdict


@command
def train(
    call: Call,
    dataset: Dataset = "wdbc",
    data: Data = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with flow parameters.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Dotted key=value, e.g. detector.settings.epochs=50."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            help="Detector to train; `dagmm detectors` lists them. auto: the data choose.",
            autocompletion=complete_detector,
        ),
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="Of DAGMM: auto, numpy, torch, torch-graph, torch-triton.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto (a GPU where it is worth it), cpu, cuda or cuda:N.")
    ] = None,
    download: Download = False,
    timings: Annotated[bool, typer.Option("--timings", help="Print where the time went.")] = False,
    verbose: Verbose = False,
) -> None:
    """Ingest, validate, split, fit, calibrate, evaluate, register and promote.

    Under torchrun (`torchrun --nproc-per-node 2 -m flows.cli train ...`) the ranks fit together.
    """
    from flows.services.startup import beside, started

    begun = time.perf_counter()
    with beside():
        from flows.common.config import build_config

        chosen = {"engine": engine, "device": device}
        named = [f"detector.settings.{name}={value}" for name, value in chosen.items() if value]
        parameters = build_config(dataset, data, config, [*(assignments or []), *named], detector)
        settings = call.prepare(f"training on {dataset}: loading the libraries, starting Prefect")
        from flows.pipeline.ingest import find_source
        from flows.tracking.signing import check_settings

        # A missing file, a broken contract or a lost key is said before a server is started.
        check_settings(settings)
        find_source(dataset, data, settings.data_dir, download=download)
        from flows.pipeline.fitting.ranks import follow, joined

        with joined(parameters, settings) as ranks:
            if not ranks.first:
                from flows.pipeline.fitting.fit import assist

                follow(ranks, assist)
                return
            with started(settings) as parts:
                from prefect import tags

                from flows.orchestration.train_flow import train as flow

                with tags("dagmm", "train", "command"):
                    result = flow(parameters)
    seconds = parts | {name: stage.seconds for name, stage in result.stages().items()}
    seconds["everything"] = time.perf_counter() - begun
    from flows.reporting import screens

    call.answer(
        {**dict(result), "timings": seconds},
        lambda: screens.training(result, dataset, verbose=verbose),
    )
    if timings and not call.as_json:
        typer.echo("")
        for stage, spent in seconds.items():
            typer.echo(f"  {stage:<28} {spent:6.1f} s")
    if result.promotion.decision == "rejected":
        raise typer.Exit(EXIT_NO)


@command
def check(
    call: Call,
    dataset: Dataset,
    data: Data = None,
    output: Annotated[
        Path | None, typer.Option(help="Keep valid rows, quarantine and report here.")
    ] = None,
    download: Download = False,
    engine: EngineName = "local",
    spark: SparkSettings = None,
) -> None:
    """Validate a table against its contract and write Data Docs; trains nothing."""
    chosen, spark_settings = engine_of(engine, spark)
    settings = call.prepare(f"checking {dataset}")
    from flows.cli.checking import check as work
    from flows.pipeline.ingest import find_source

    find_source(dataset, data, settings.data_dir, download=download)
    report = work(dataset, data, output, settings, engine=chosen, spark=spark_settings)
    from flows.reporting import screens

    asked = shlex.join([dataset, *(("--data", data) if data else ())])
    call.answer(report, lambda: screens.check(report, asked))
    if not report.passed:
        raise Verdict(report.message)


@command
def contract(
    call: Call,
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="Table to profile: CSV, Parquet or .mat.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Column that says which rows are anomalous.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Contract file; next to the table by default.")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of contracts, for editors.")
    ] = False,
) -> None:
    """Draft a contract from a table: types, ranges, vocabularies, suspicious columns."""
    call.prepare(f"reading {file}" if file else "")
    from flows.cli.checking import draft

    if schema:
        from data_checks.contract.model import contract_json_schema

        typer.echo(json.dumps(contract_json_schema(), indent=2))
        return
    if file is None:
        raise UsageError("name a table to profile, or ask for --schema")
    written, warnings = draft(file, label, output)
    lines = [f"Look at    {warning}" for warning in warnings]
    lines += [f"Contract   {written}", f"Next       edit it, then: dagmm check {written}"]
    from flows.reporting.terminal import labelled_sheet

    document = {"contract": str(written), "warnings": warnings}
    call.answer(document, lambda: labelled_sheet("\n".join(lines)))


@command
def detectors(call: Call) -> None:
    """Every detector that `dagmm train --detector` takes: what it is, from where, its limits."""
    from dagmm_model.detectors.catalogue import CATALOGUE
    from flows.reporting.terminal import sheet

    lines = []
    for name, entry in CATALOGUE.items():
        source = f"{entry.source}; {entry.limits}" if entry.limits else entry.source
        lines += [(name, entry.about), ("", source)]
    call.answer(CATALOGUE, lambda: sheet(lines))
