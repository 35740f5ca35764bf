"""How cost grows: with rows, columns, components, batch size, and Spark's cores.

Rows are those of KDD Cup 1999 resampled, every number that is not 0 multiplied by noise, so that
few are alike. Each point is measured in a process of its own, with one thread unless the axis is
about more, and is written at once; the same command goes on where it stopped. Processor seconds are
the figure to compare; wall time and the machine's load are given as well.

    export DAGMM_DATA_DIR=data
    python benchmarks/speed/scaling.py --axes columns components batch train-rows
    python benchmarks/speed/scaling.py --axes score-rows spark --model models:/NAME/1
    python benchmarks/speed/scaling.py        # docs/results/scaling/*.svg, and the table

A cost that grows with a power of what is varied is a line in a plot of logarithms; its slope is the
exponent. Where a cost levels off (a fixed part that few rows cannot hide), the slope between the
last two points is given as well as the slope of all.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from measuring import GROUP, dagmm_score, in_process, kdd, peak

from dagmm_model import DAGMM
from dagmm_model.detectors.streamed.fit import fit_streamed
from dagmm_model.tables.encoded import Encoded
from dagmm_model.training.streaming import RowGroups
from data_checks.contract.model import load_contract
from flows.common.features import as_columns, encoder_for

Point = dict[str, Any]

CONTRACT = load_contract("kddcup")
EPOCHS = 3
RESULTS = Path(__file__).parents[2] / "docs" / "results" / "scaling"
SCRATCH = Path(tempfile.gettempdir(), "dagmm-scaling")
BASE = {"call": "fit", "rows": 20_480, "columns": 120, "preset": "paper-kddcup"}
AXES: dict[str, tuple[str, list[Point]]] = {
    "train-rows": (
        "rows, in memory",
        [{**BASE, "x": n, "rows": n} for n in (10_000, 31_623, 100_000, 316_228, 1_000_000)],
    ),
    "train-rows-streamed": (
        "rows, streamed",
        [
            {"call": "fit_streamed", "x": n, "rows": n}
            for n in (300_000, 1_000_000, 3_000_000, 10_000_000)
        ],
    ),
    "columns": (
        "columns",
        [
            {**BASE, "x": n, "columns": n, "preset": preset}
            for n in (10, 30, 100, 300, 1000)
            for preset in ("paper-kddcup", "recommended")
        ],
    ),
    "components": (
        "components",
        [{**BASE, "x": n, "n_components": n} for n in (2, 4, 8, 16, 32, 64)],
    ),
    "batch": (
        "rows of a batch",
        [{**BASE, "x": n, "batch_size": n} for n in (128, 256, 512, 1024, 2048, 4096, 8192)],
    ),
    "score-rows": (
        "rows of `dagmm score`",
        [{"call": "scored", "x": n, "rows": n} for n in (10_000, 100_000, 1_000_000, 10_000_000)],
    ),
    "spark": (
        "cores of Spark",
        [{"call": "scored", "x": n, "rows": 1_000_000, "master": f"local[{n}]"} for n in (1, 2)],
    ),
}
"""What is varied, and the points that are measured; "x" is the place on the axis."""
FIGURES = {
    "epoch_processor_seconds": "processor s an epoch",
    "score_processor_us": "processor µs a scored row",
    "peak_mib": "peak memory, MiB",
}


def raw_rows(rows: int, seed: int) -> pa.Table:
    """KDD rows, drawn with replacement, with noise of 5 percent on every number."""
    rng = np.random.default_rng(seed)
    once = kdd().select([column.name for column in CONTRACT.feature_columns])
    drawn = once.take(pa.array(rng.integers(0, len(once), rows)))
    columns = []
    for column in CONTRACT.feature_columns:
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
    return encoder_for(CONTRACT, table).encode(as_columns(table), order="F")


def clocks() -> tuple[float, float]:
    """Seconds of wall and of processor time until now."""
    return time.perf_counter(), time.process_time()


def per_epoch(ends: list[tuple[float, float]]) -> Point:
    """Seconds of an epoch, from the `clocks` at the end of each one."""
    wall, processor = np.diff(ends, axis=0).mean(axis=0).round(4).tolist()
    return {"epoch_seconds": wall, "epoch_processor_seconds": processor}


def fit(rows: int, columns: int, preset: str, **options: Any) -> Point:
    """Train on rows in memory, then score them: processor time of an epoch and of a scored row."""
    rng = np.random.default_rng(1)
    x = matrix_of(raw_rows(rows, 0))
    if columns != x.shape[1]:
        x = x[:, rng.permutation(columns) % x.shape[1]]
        x = x + 0.05 * x.std(axis=0) * rng.standard_normal(x.shape)
    ends: list[tuple[float, float]] = []
    detector = DAGMM(preset=preset, epochs=EPOCHS, random_state=0, **options)
    detector.fit(x, observers=[lambda _epoch: ends.append(clocks())])
    encoded, spent = Encoded.of(x[:200_000]), time.process_time()
    detector.for_layout(encoded.layout).energy(encoded)
    one = (time.process_time() - spent) / len(encoded)
    return {**per_epoch(ends), "score_processor_us": round(one * 1e6, 3), "peak_mib": peak()}


def streamed(rows: int) -> Point:
    """Train on rows of a Parquet file that is read group by group."""
    file = pq.ParquetFile(file_of(rows))
    sizes = tuple(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))

    def read(group: int) -> np.ndarray:
        return np.ascontiguousarray(matrix_of(file.read_row_group(group)))

    ends: list[tuple[float, float]] = []
    before = peak()
    detector = DAGMM(preset="paper-kddcup", epochs=2, random_state=0)
    groups = RowGroups(sizes, read, read(0))
    fit_streamed(detector, groups, observers=[lambda _epoch: ends.append(clocks())])
    return {**per_epoch(ends), "peak_mib": peak(), "peak_mib_before": before}


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


def measure(axis: str, folder: Path, model: str | None, largest: int) -> None:
    """Add the points of an axis that are not measured yet to its file."""
    for point in AXES[axis][1]:
        point = point | ({"model": model} if point["call"] == "scored" else {})
        done = read_points(axis, folder)
        if point["x"] > largest or any(point.items() <= each.items() for each in done):
            continue
        threads = {} if point["call"] == "scored" else {"OMP_NUM_THREADS": "1"}
        load = os.getloadavg()[0]
        found = point | in_process(__file__, "--point", json.dumps(point), **threads)
        line = json.dumps(found | {"load": round((load + os.getloadavg()[0]) / 2, 1)})
        with (folder / f"{axis}.jsonl").open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


def read_points(axis: str, folder: Path) -> list[Point]:
    """What has been measured on an axis."""
    path = folder / f"{axis}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def lines(points: list[Point]) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Figure, preset, places and values of everything measured more than once on an axis."""
    table = pd.DataFrame([{"preset": ""} | point for point in points])
    table = table.reindex(columns=["preset", "x", *FIGURES]).sort_values(["preset", "x"])
    values = table.melt(["preset", "x"], var_name="figure").dropna()
    for (figure, preset), mine in values.groupby(["figure", "preset"], sort=False):
        if len(mine) > 1:
            yield figure, preset, mine["x"].to_numpy(float), mine["value"].to_numpy(float)


def exponent(x: np.ndarray, y: np.ndarray) -> float:
    """Of the power of `x` that `y` grows with."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def draw(axis: str, folder: Path) -> None:
    """One SVG for an axis, and the lines of its exponents in the table."""
    drawn = list(lines(read_points(axis, folder)))
    figures = list(dict.fromkeys(figure for figure, *_ in drawn))
    if not figures:
        return
    picture = Figure(figsize=(4 * len(figures), 3.2), layout="constrained")
    panels = dict(zip(figures, np.atleast_1d(picture.subplots(1, len(figures))), strict=True))
    name = AXES[axis][0]
    for figure, preset, x, y in drawn:
        whole, last = exponent(x, y), exponent(x[-2:], y[-2:])
        panels[figure].loglog(x, y, "o-", label=f"{preset} x^{whole:.2f}".strip())
        panels[figure].set(xlabel=name, ylabel=FIGURES[figure])
        panels[figure].legend(fontsize=7)
        print(f"| {name} | {x[0]:,.0f}, {x[-1]:,.0f} | {preset} | {FIGURES[figure]} "
              f"| {y[0]:g}, {y[-1]:g} | {whole:.2f} | {last:.2f} |")  # fmt: skip
    picture.savefig(folder / f"{axis}.svg", metadata={"Date": None})


def main() -> None:
    """Measure what is not measured yet; or draw every axis that has points."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--axes", nargs="+", choices=AXES)
    parser.add_argument("--model", help="registered model, for score-rows and spark")
    parser.add_argument("--largest", type=int, default=10**9, help="leave points beyond it out")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.point:
        calls = {"fit": fit, "fit_streamed": streamed, "scored": scored}
        work = calls[asked.point.pop("call")]
        del asked.point["x"]
        print(json.dumps(work(**asked.point)), flush=True)
        return
    asked.results.mkdir(parents=True, exist_ok=True)
    for axis in asked.axes or ():
        measure(axis, asked.results, asked.model, asked.largest)
    if asked.axes:
        return
    mpl.rcParams["svg.hashsalt"] = "scaling"
    print("| varied | from, to | preset | figure | first, last | exponent | last two |")
    print("|---|---|---|---|---|---|---|")
    for axis in AXES:
        draw(axis, asked.results)


if __name__ == "__main__":
    main()
