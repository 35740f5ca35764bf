"""`dagmm benchmark`. It parses, calls and prints; every heavy import stands inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Debug, Download, Json, Quiet, prepare, print_json


def benchmark(
    datasets: Annotated[
        list[str] | None,
        typer.Option("--datasets", help="Contracts, e.g. wdbc thyroid; all shipped ones."),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            "--suite", help="Folder of .npz tables (X, y); adbench for the data folder's."
        ),
    ] = None,
    detectors: Annotated[
        list[str] | None,
        typer.Option("--detectors", help="NAME or NAME:PRESET; the whole catalogue."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Splits of each; 20, of a suite 5.")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option("--budget", help="Minutes after which no cell is started."),
    ] = None,
    protocols: Annotated[
        list[str] | None,
        typer.Option(
            "--protocols",
            help="Of paper (default), deployment, goad; of a suite dte, dte-plain, halves (all).",
        ),
    ] = None,
    group_duplicates: Annotated[
        bool, typer.Option("--group-duplicates", help="Also with identical rows on one side.")
    ] = False,
    train_rows: Annotated[
        int | None,
        typer.Option("--train-rows", min=2, help="Most training rows of halves; 5000."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="Cells at a time.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder of cells, tables, page and plots.")
    ] = None,
    table_only: Annotated[
        bool, typer.Option("--table-only", help="Measure nothing: tables of the cells there.")
    ] = False,
    download: Download = False,
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Compare detectors on labelled tables over many splits; resumes where it stopped."""
    settings = prepare(as_json=as_json, debug=debug, quiet=quiet, doing="starting the benchmark")
    if table_only:
        from flows.benchmarking.results.report import write_report
        from flows.benchmarking.results.tables import overviews

        blocks = write_report(output or settings.home / "benchmark")
        if as_json:
            print_json([line for block in blocks for line in block.facts()])
        else:
            typer.echo(overviews(blocks))
        return
    from flows.benchmarking.config import build_benchmark
    from flows.benchmarking.suite import tables_of
    from flows.pipeline.ingest import find_source

    config = build_benchmark(
        suite=suite,
        datasets=datasets,
        detectors=detectors,
        seeds=seeds,
        budget=budget,
        protocols=protocols,
        group_duplicates=group_duplicates,
        train_rows=train_rows,
        processes=processes,
        output=None if output is None else str(output),
    )
    if config.suite is not None:
        tables_of(config.suite, config.datasets, settings.data_dir)
    else:
        for dataset in config.datasets:
            find_source(dataset, None, settings.data_dir, download=download)
    from flows.cli.startup import Startup

    with Startup(settings):
        from prefect import tags

        from flows.orchestration.benchmark_flow import benchmark as flow

        with tags("dagmm", "benchmark", "command"):
            result = flow(config)
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        typer.echo(result.text())
