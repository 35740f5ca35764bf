r"""A simulation of scoring on many machines, for what cannot be run here.

Executors with some cores take parts of a table one after the other. A part costs its rows' time,
some overhead, and now and then the time of a slow machine; an attempt that fails is tried again
from the start. The driver hands tasks out one at a time, and joins nothing at the end when the
result is a folder. All readers share the bandwidth of the store.

    python benchmarks/speed/data_plane.py --validate docs/results/scaling/score-rows.jsonl
    python benchmarks/speed/data_plane.py --rows 1e9 1e12 --nodes 1 4 16 64 256 1024

The costs are measured ones; what is assumed is said in `Plane`.
"""

import argparse
import heapq
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Plane:
    """What decides the time.

    Attributes:
        row_us: processor microseconds of a row, reasons included (measured).
        row_bytes: read for a row (measured: KDD with noise, Parquet; as it is, 4).
        overhead_s: fixed cost of a task on an executor: opening, footer, model in cache, records.
        dispatch_s: the driver's time for a task; it hands tasks out one at a time.
        start_s: before the first task: session, model to the executors.
        slow_share: share of tasks that land on a slow machine (assumed).
        slow_factor: how much longer these take (assumed).
        failure_share: share of attempts that die half-way on average (assumed).
        store_bytes_s: bandwidth of the store, all readers together (assumed).
    """

    row_us: float
    row_bytes: float = 76.0
    overhead_s: float = 0.2
    dispatch_s: float = 0.004
    start_s: float = 10.0
    slow_share: float = 0.02
    slow_factor: float = 3.0
    failure_share: float = 0.001
    store_bytes_s: float = 10e9


def simulate(plane: Plane, rows: float, part_rows: float, cores: int, seed: int = 0) -> float:
    """Seconds from the command to the last part."""
    rng = np.random.default_rng(seed)
    parts = int(-(-rows // part_rows))
    sizes = np.full(parts, part_rows)
    sizes[-1] = rows - part_rows * (parts - 1)
    work = plane.overhead_s + sizes * plane.row_us * 1e-6
    work[rng.random(parts) < plane.slow_share] *= plane.slow_factor
    failed = rng.random(parts) < plane.failure_share
    work[failed] *= 1.0 + rng.random(failed.sum())
    free = [plane.start_s] * min(cores, parts)
    driver, ended = plane.start_s, 0.0
    for seconds in work:
        driver += plane.dispatch_s
        begun = max(driver, heapq.heappop(free))
        heapq.heappush(free, begun + seconds)
        ended = max(ended, begun + seconds)
    return max(ended, plane.start_s + rows * plane.row_bytes / plane.store_bytes_s)


def bottleneck(plane: Plane, rows: float, part_rows: float, cores: int) -> str:
    """What alone would take longest."""
    parts = -(-rows // part_rows)
    alone = {
        "processors": rows * plane.row_us * 1e-6 / cores + parts * plane.overhead_s / cores,
        "the driver": parts * plane.dispatch_s,
        "the store": rows * plane.row_bytes / plane.store_bytes_s,
        "the slowest task": part_rows * plane.row_us * 1e-6 * plane.slow_factor,
    }
    return max(alone, key=lambda name: alone[name])


def validate(path: Path) -> None:
    """Simulated beside measured processor time of the runs on this machine, the last one held out.

    The cost of a row and the fixed cost come from the smaller runs.
    """
    runs = pd.read_json(path, lines=True).sort_values("rows")
    rows = runs["rows"].to_numpy(float)
    seconds = runs["score_processor_us"].to_numpy() * rows * 1e-6
    slope, fixed = np.polyfit(rows[:-1], seconds[:-1], 1)
    plane = Plane(slope * 1e6, overhead_s=0.0, dispatch_s=0.0, start_s=max(fixed, 0.0),
                  slow_share=0.0, failure_share=0.0)  # fmt: skip
    print(f"from the smaller runs: {slope * 1e6:.2f} µs a row, {fixed:.2f} s fixed")
    for n, measured in zip(rows, seconds, strict=True):
        simulated = simulate(plane, n, 33_333, 1)
        print(f"{n:>12,.0f} rows: measured {measured:8.2f} s of processor, "
              f"simulated {simulated:8.2f} ({simulated / measured - 1:+.0%})")  # fmt: skip


def main() -> None:
    """Time against nodes, as a table; or the validation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--validate", type=Path, help="measured runs to compare with")
    parser.add_argument("--rows", type=float, nargs="+", default=[1e9, 1e12])
    parser.add_argument("--part-rows", type=float, default=0, help="0: about 60 s of work")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 4, 16, 64, 256, 1024])
    parser.add_argument("--cores", type=int, default=16, help="of a node")
    parser.add_argument("--row-us", type=float, default=6.0)
    arguments = parser.parse_args()
    if arguments.validate:
        validate(arguments.validate)
        return
    plane = Plane(arguments.row_us)
    part_rows = arguments.part_rows or round(60e6 / arguments.row_us, -6)
    print("| rows | nodes | cores | parts | hours | node-hours | bottleneck |")
    print("|---|---|---|---|---|---|---|")
    for rows in arguments.rows:
        for nodes in arguments.nodes:
            cores = nodes * arguments.cores
            simulations = [simulate(plane, rows, part_rows, cores, seed) for seed in range(3)]
            hours = float(np.median(simulations)) / 3600
            what = bottleneck(plane, rows, part_rows, cores)
            print(f"| {rows:.0e} | {nodes} | {cores} | {-(-rows // part_rows):,.0f} | {hours:.3g} "
                  f"| {hours * nodes:.3g} | {what} |")  # fmt: skip
    wide = replace(plane, store_bytes_s=100e9)
    print(f"1e12 rows on 1,024 nodes with a store ten times as wide: "
          f"{simulate(wide, 1e12, part_rows, 1024 * arguments.cores) / 3600:.3g} h")  # fmt: skip


if __name__ == "__main__":
    main()
