"""How cost grows: with rows, columns, components, batch size, and Spark's cores.

Rows are those of KDD Cup 1999 resampled, every number that is not 0 multiplied by noise, so that
few are alike. Each point is measured in a process of its own, with one thread unless the axis is
about more, and is written at once; the same command goes on where it stopped.

    export DAGMM_DATA_DIR=data
    python benchmarks/speed/scaling.py --axes columns components batch train-rows
    python benchmarks/speed/scaling.py --axes score-rows spark --model models:/NAME/1

Processor seconds are the figure to compare; wall time and the machine's load are given as well.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from measuring import dagmm_score, peak

from data_checks.contract.model import load_contract

Point = dict[str, Any]

GROUP = 131_072
EPOCHS = 3
RESULTS = Path(__file__).parents[2] / "docs" / "results" / "scaling"
SCRATCH = Path(tempfile.gettempdir(), "dagmm-scaling")


def raw_rows(rows: int, seed: int) -> pa.Table:
    """KDD rows, drawn with replacement, with noise of 5 percent on every number."""
    contract = load_contract("kddcup")
    source = Path(os.environ["DAGMM_DATA_DIR"]) / "kddcup.data_10_percent.gz"
    names = pacsv.ReadOptions(column_names=list(contract.source_names))
    text = {c.name: pa.string() for c in contract.feature_columns if c.type == "categorical"}
    convert = pacsv.ConvertOptions(column_types=text)
    once = pacsv.read_csv(pa.BufferReader(gzip.decompress(source.read_bytes())), names, convert_options=convert)  # noqa: E501 # fmt: skip
    once = once.select([column.name for column in contract.feature_columns])
    rng = np.random.default_rng(seed)
    drawn = once.take(pa.array(rng.integers(0, len(once), rows)))
    columns = []
    for column in contract.feature_columns:
        values = drawn.column(column.name)
        if column.type == "numeric":
            noisy = values.to_numpy() * np.exp(0.05 * rng.standard_normal(rows))
            values = pa.array(np.minimum(noisy, column.maximum or np.inf))
        columns.append(values)
    return pa.table(columns, names=drawn.column_names)


def file_of(rows: int) -> Path:
    """A Parquet file of so many rows; made once."""
    path = SCRATCH / f"kdd-{rows}.parquet"
    if not path.exists():
        SCRATCH.mkdir(parents=True, exist_ok=True)
        partial, block = path.with_suffix(".partial"), raw_rows(min(rows, 1_000_000), 0)
        with pq.ParquetWriter(partial, block.schema) as writer:
            for start in range(0, rows, 1_000_000):
                block = raw_rows(min(1_000_000, rows - start), start) if start else block
                writer.write_table(block, GROUP)
        partial.replace(path)
    return path


def matrix_of(table: pa.Table) -> np.ndarray:
    """The encoded rows, ``(n, 120)``."""
    from flows.common.features import as_columns, encoder_for

    return encoder_for(load_contract("kddcup"), table).encode(as_columns(table), order="F")


class Clock:
    """Wall and processor time between the first and the last epoch's end."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def __call__(self, epoch: Any) -> None:
        """An observer of training."""
        self.seen.append((time.perf_counter(), time.process_time()))

    def per_epoch(self) -> Point:
        """Seconds."""
        (wall, spent), (wall_then, spent_then) = self.seen[-1], self.seen[0]
        epochs = len(self.seen) - 1
        return {
            "epoch_seconds": round((wall - wall_then) / epochs, 4),
            "epoch_processor_seconds": round((spent - spent_then) / epochs, 4),
        }


def fit(rows: int, columns: int, preset: str, **options: Any) -> Point:
    """Train on rows in memory, then score them: processor time of an epoch and of a scored row."""
    from dagmm_model import DAGMM
    from dagmm_model.tables.encoded import Encoded

    rng = np.random.default_rng(1)
    x = matrix_of(raw_rows(rows, 0))
    if columns != x.shape[1]:
        x = x[:, rng.permutation(columns) % x.shape[1]]
        x = x + 0.05 * x.std(axis=0) * rng.standard_normal(x.shape)
    clock = Clock()
    detector = DAGMM(preset=preset, epochs=EPOCHS, random_state=0, **options)
    detector.fit(x, observers=[clock])
    encoded, spent = Encoded.of(x[:200_000]), time.process_time()
    detector.for_layout(encoded.layout).energy(encoded)
    scored = (time.process_time() - spent) / len(encoded)
    return {**clock.per_epoch(), "score_processor_us": round(scored * 1e6, 3), "peak_mib": peak()}


def fit_streamed(rows: int) -> Point:
    """Train on rows of a Parquet file that is read group by group."""
    from dagmm_model import DAGMM
    from dagmm_model.detectors.streamed.fit import fit_streamed as streamed
    from dagmm_model.training.streaming import RowGroups

    file = pq.ParquetFile(file_of(rows))
    groups = range(file.num_row_groups)
    sizes = tuple(file.metadata.row_group(group).num_rows for group in groups)

    def read(group: int) -> np.ndarray:
        return np.ascontiguousarray(matrix_of(file.read_row_group(group)))

    clock, before = Clock(), peak()
    detector = DAGMM(preset="paper-kddcup", epochs=2, random_state=0)
    streamed(detector, RowGroups(sizes, read, read(0)), observers=[clock])
    return {**clock.per_epoch(), "peak_mib": peak(), "peak_mib_before": before}


def scored(rows: int, model: str, master: str | None = None) -> Point:
    """The whole command, Parquet to Parquet."""
    source = file_of(rows)
    output = source.with_name("scored.parquet")
    spark = ["--engine", "spark", "--spark", f"spark.master={master}"] if master else []
    report, most, whole = dagmm_score(
        str(source), str(output), "--model", model, "--restart", *spark
    )
    return {
        "seconds": round(report["seconds"], 2),
        "seconds_with_start": round(whole, 2),
        "score_processor_us": round(report["processor_seconds"] / rows * 1e6, 3),
        "peak_mib": most,
    }


def points(axis: str, model: str | None) -> Iterator[Point]:
    """What is measured on an axis; "x" is the place on it."""
    base = {"call": "fit", "rows": 20_480, "columns": 120, "preset": "paper-kddcup"}
    if axis == "train-rows":
        for rows in (10_000, 31_623, 100_000, 316_228, 1_000_000):
            yield {**base, "x": rows, "rows": rows}
    elif axis == "train-rows-streamed":
        for rows in (300_000, 1_000_000, 3_000_000, 10_000_000):
            yield {"call": "fit_streamed", "x": rows, "rows": rows}
    elif axis == "columns":
        for columns in (10, 30, 100, 300, 1000):
            for preset in ("paper-kddcup", "recommended"):
                yield {**base, "x": columns, "columns": columns, "preset": preset}
    elif axis == "components":
        for components in (2, 4, 8, 16, 32, 64):
            yield {**base, "x": components, "n_components": components}
    elif axis == "batch":
        for batch in (128, 256, 512, 1024, 2048, 4096, 8192):
            yield {**base, "x": batch, "batch_size": batch}
    elif axis == "score-rows":
        for rows in (10_000, 100_000, 1_000_000, 10_000_000):
            yield {"call": "scored", "x": rows, "rows": rows, "model": model}
    elif axis == "spark":
        for cores in (1, 2):
            yield {
                "call": "scored",
                "x": cores,
                "rows": 1_000_000,
                "model": model,
                "master": f"local[{cores}]",
            }
    else:
        raise SystemExit(f"no axis {axis!r}; there are {', '.join(AXES)}")


AXES = ("train-rows", "train-rows-streamed", "columns", "components", "batch",
        "score-rows", "spark")  # fmt: skip
CALLS: dict[str, Callable[..., Point]] = {
    "fit": fit,
    "fit_streamed": fit_streamed,
    "scored": scored,
}


def measured(point: Point) -> Point:
    """The point, measured by a fresh process."""
    command = [sys.executable, __file__, "--point", json.dumps(point)]
    environment = dict(os.environ)
    if point["call"] != "scored":
        environment["OMP_NUM_THREADS"] = "1"
    load = os.getloadavg()[0]
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    return {**point, **result, "load": round((load + os.getloadavg()[0]) / 2, 1)}


def one(point: Point) -> None:
    """Measure a point in this process and print what was found."""
    arguments = {k: v for k, v in point.items() if k not in ("call", "x")}
    print(json.dumps(CALLS[point["call"]](**arguments)), flush=True)


def read_points(axis: str, folder: Path) -> list[Point]:
    """What has been measured on an axis."""
    path = folder / f"{axis}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> None:
    """Measure what is not measured yet; then `scaling_plots.py` draws it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--axes", nargs="+", default=[], help=", ".join(AXES))
    parser.add_argument("--model", help="registered model, for score-rows and spark")
    parser.add_argument("--largest", type=int, default=10**9, help="leave points beyond it out")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--point", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.point:
        one(json.loads(arguments.point))
        return
    arguments.results.mkdir(parents=True, exist_ok=True)
    for axis in arguments.axes:
        for point in points(axis, arguments.model):
            done = read_points(axis, arguments.results)
            if point["x"] > arguments.largest or any(point.items() <= d.items() for d in done):
                continue
            line = json.dumps(measured(point))
            with (arguments.results / f"{axis}.jsonl").open("a") as file:
                file.write(line + "\n")
            print(line, flush=True)


if __name__ == "__main__":
    main()
