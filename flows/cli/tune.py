"""`dagmm tune`. It parses, calls and prints; every heavy import stands inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import (
    Data,
    Dataset,
    Debug,
    Download,
    Json,
    Quiet,
    complete_detector,
    prepare,
    print_json,
)
from flows.common.errors import UsageError


def tune(
    dataset: Dataset = "wdbc",
    data: Data = None,
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            help="Detector whose settings are searched; dagmm.",
            autocompletion=complete_detector,
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file with flow parameters.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Dotted key=value; a setting given here is not searched."),
    ] = None,
    trials: Annotated[
        int, typer.Option("--trials", min=1, help="Trials in all, those of earlier calls too.")
    ] = 30,
    budget: Annotated[
        float | None, typer.Option("--budget", help="Minutes after which no trial is started.")
    ] = None,
    download: Download = False,
    as_json: Json = False,
    debug: Debug = False,
    quiet: Quiet = False,
) -> None:
    """Search a detector's settings by labelled rows outside the test; goes on where it stopped."""
    from flows.common.config import AUTO, build_config

    if budget is not None and not budget > 0:
        raise UsageError(f"--budget: give minutes above 0 (got {budget:g})")
    parameters = build_config(dataset, data, config, assignments or [], detector)
    if parameters.detector.name == AUTO or parameters.fit.streaming:
        raise UsageError("dagmm tune searches one detector's settings in memory; name a detector")
    settings = prepare(
        as_json=as_json, debug=debug, quiet=quiet, doing=f"searching settings on {dataset}"
    )
    from flows.pipeline.ingest import find_source

    find_source(dataset, data, settings.data_dir, download=download)
    from flows.tuning.run import tune as work

    result = work(parameters, settings, trials, budget)
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        typer.echo(result.text())
