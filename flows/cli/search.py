"""Commands that train many detectors, to compare them or to search their settings."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Call, Data, Dataset, Download, command, complete_detector
from flows.common.errors import UsageError


@command
def benchmark(
    call: Call,
    datasets: Annotated[
        list[str] | None, typer.Option(help="Contracts, e.g. wdbc thyroid; all shipped ones.")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="Folder of .npz tables (X, y); adbench for the data folder's."),
    ] = None,
    detectors: Annotated[
        list[str] | None, typer.Option(help="NAME or NAME:PRESET; the whole catalogue.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Splits of each; 20, of a suite 5.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Minutes after which no cell is started.")
    ] = None,
    protocols: Annotated[
        list[str] | None,
        typer.Option(
            help="Of paper (default), deployment, goad; of a suite dte, dte-plain, halves (all)."
        ),
    ] = None,
    group_duplicates: Annotated[
        bool, typer.Option("--group-duplicates", help="Also with identical rows on one side.")
    ] = False,
    train_rows: Annotated[
        int | None, typer.Option(min=2, help="Most training rows of halves; 5000.")
    ] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Cells at a time.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of cells, tables, page and plots.")
    ] = None,
    table_only: Annotated[
        bool, typer.Option("--table-only", help="Measure nothing: tables of the cells there.")
    ] = False,
    download: Download = False,
) -> None:
    """Compare detectors on labelled tables over many splits; resumes where it stopped."""
    settings = call.prepare("starting the benchmark")
    from flows.reporting.terminal import labelled_sheet, markdown

    if table_only:
        from flows.benchmarking.results.report import write_results
        from flows.benchmarking.results.text import overviews

        blocks = write_results(output or settings.home / "benchmark")
        facts = [line for block in blocks for line in block.facts()]
        call.answer(facts, lambda: markdown(overviews(blocks)))
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
    from flows.services.startup import beside, started

    with beside(), started(settings):
        from prefect import tags

        from flows.orchestration.benchmark_flow import benchmark as flow

        with tags("dagmm", "benchmark", "command"):
            result = flow(config)
    from rich.console import Group

    page = Group(markdown(result.overview), labelled_sheet(result.text()))
    call.answer(result, lambda: page)


@command
def tune(
    call: Call,
    dataset: Dataset = "wdbc",
    data: Data = None,
    detector: Annotated[
        str | None,
        typer.Option(
            help="Detector whose settings are searched; dagmm.", autocompletion=complete_detector
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with flow parameters.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Dotted key=value; a setting given here is not searched."),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, help="Trials in all, those of earlier calls too.")
    ] = 30,
    budget: Annotated[
        float | None, typer.Option(help="Minutes after which no trial is started.")
    ] = None,
    download: Download = False,
) -> None:
    """Search a detector's settings by labelled rows outside the test; goes on where it stopped."""
    from flows.common.config import AUTO, build_config

    if budget is not None and not budget > 0:
        raise UsageError(f"--budget: give minutes above 0 (got {budget:g})")
    parameters = build_config(dataset, data, config, assignments or [], detector)
    if parameters.detector.name == AUTO or parameters.fit.streaming:
        raise UsageError("dagmm tune searches one detector's settings in memory; name a detector")
    settings = call.prepare(f"searching settings on {dataset}")
    from flows.pipeline.ingest import find_source

    find_source(dataset, data, settings.data_dir, download=download)
    from flows.reporting.terminal import labelled_sheet
    from flows.tuning.run import tune as work

    result = work(parameters, settings, trials, budget)
    call.answer(result, lambda: labelled_sheet(result.text()))
