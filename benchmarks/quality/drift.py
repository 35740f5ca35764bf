"""What `dagmm monitor` finds: share of windows with an alarm, by size of the shift.

Normal rows are divided into training, calibration and a pool; windows are drawn from the pool and
shifted; windows without a shift give the false-alarm rate. Repeated over several splits, since all
windows of a split share one reference.

    DAGMM_DATA_DIR=data python benchmarks/quality/drift.py --splits 10 --windows 20 --calm 100
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from fitted import fitted, rows_of
from scipy.stats import binomtest

from dagmm_model import DAGMM
from dagmm_model.detectors.bundle import ScoringBundle
from data_checks.contract.model import Contract, load_contract
from data_checks.drift import DriftReference, bin_counts, drift_reference
from flows.common.features import as_frame
from flows.drift.comparison import MonitorPolicy, judge_window
from flows.drift.window import Window

WINDOW = {"wdbc": 60, "thyroid": 250, "kddcup": 1000}
SIZES = (0.1, 0.25, 0.5, 1.0)
SHARES = (0.02, 0.05, 0.1, 0.2)
MOST_ROWS = 40_000
LEVELS = (0.01, 0.05)


@dataclass(frozen=True)
class World:
    """One split: the model and its reference, and the rows that windows are drawn from."""

    contract: Contract
    bundle: ScoringBundle
    reference: DriftReference
    pool: pa.Table
    anomalies: pa.Table
    deviation: dict[str, float]


def world(contract: Contract, normal: pa.Table, anomalies: pa.Table, seed: int) -> World:
    """Train on half of the normal rows, calibrate on a fifth, keep the rest."""
    detector = DAGMM(epochs=5, members=1, random_state=seed)
    bundle, train, pool = fitted(contract, normal, MOST_ROWS, (5, 7), detector)
    deviation = {
        column.name: float(pc.stddev(train.column(column.name)).as_py())
        for column in contract.feature_columns
        if column.type == "numeric"
    }
    movable = {name: value for name, value in deviation.items() if value > 0}
    return World(contract, bundle, drift_reference(train, contract), pool, anomalies, movable)


def drawn(here: World, size: int, rng: np.random.Generator) -> pa.Table:
    """Rows that nothing has happened to."""
    return here.pool.take(pa.array(rng.choice(here.pool.num_rows, size, replace=False)))


def windows(here: World, size: int, rng: np.random.Generator) -> Iterator[tuple[str, float, Any]]:
    """Every kind of shift, applied to one draw of rows."""
    rows = drawn(here, size, rng)
    names = list(here.deviation)
    one = str(rng.choice(names))
    signs = dict(zip(names, rng.choice([-1.0, 1.0], len(names)), strict=True))
    for amount in SIZES:
        yield "one column, in standard deviations", amount, _moved(here, rows, [one], amount, {})
        yield "all columns", amount, _moved(here, rows, names, amount, signs)
    for share in SHARES:
        many = round(share * size)
        strange = here.anomalies.take(pa.array(rng.choice(here.anomalies.num_rows, many)))
        mixed = pa.concat_tables([rows.slice(many), strange])
        yield "anomalies among the rows, share", share, mixed


def _moved(
    here: World, rows: pa.Table, names: list[str], amount: float, signs: dict[str, float]
) -> pa.Table:
    for name in names:
        step = signs.get(name, 1.0) * amount * here.deviation[name]
        place = rows.column_names.index(name)
        rows = rows.set_column(place, name, pc.add(rows.column(name), step))
    return rows


def judged(here: World, rows: pa.Table) -> tuple[bool, float]:
    """Whether there is an alarm, and the smallest p-value times their number."""
    counts = bin_counts(here.reference, [rows])
    window = Window(counts, here.bundle.score(as_frame(rows)).energy, 0, {}, None, "")
    place = (here.bundle, here.contract, here.reference, MonitorPolicy())
    report = judge_window(window, *place, "m/1", time.time())
    p_values = [column.p_value for column in report.columns]
    p_values += [report.figures["energy/p"], report.figures["alerts/p"]]
    return report.drifted, min(p_values) * len(p_values)


def measure(name: str, splits: int, count: int, calm: int) -> dict[str, Any]:
    """All windows of one data set."""
    contract = load_contract(name)
    normal, anomalies = rows_of(contract)
    alarms, calm_windows = [], []
    for seed in range(splits):
        here = world(contract, normal, anomalies, seed)
        rng = np.random.default_rng([seed, 1])
        for _ in range(count):
            for kind, amount, rows in windows(here, WINDOW[name], rng):
                alarms.append((kind, amount, judged(here, rows)[0]))
        for _ in range(calm):
            calm_windows.append(judged(here, drawn(here, WINDOW[name], rng)))
    shares = pd.DataFrame(alarms, columns=["shift", "size", "share"])
    shares = shares.groupby(["shift", "size"], sort=False, as_index=False).mean()
    false, smallest = np.array(calm_windows).T
    return {
        "dataset": name,
        "window": WINDOW[name],
        "columns": len(contract.feature_columns),
        "windows": splits * count,
        "calm_windows": len(false),
        "false_alarms": int(false.sum()),
        "alarms": shares.to_dict("records"),
        "tests_alone": {str(level): float((smallest <= level).mean()) for level in LEVELS},
    }


def show(result: dict[str, Any]) -> None:
    """Print a data set's table."""
    n = result["windows"]
    print(f"\n{result['dataset']}: {n:,} windows of {result['window']} rows, "
          f"{result['columns']} columns")  # fmt: skip
    print(pd.DataFrame(result["alarms"]).to_string(index=False))
    false, calm = result["false_alarms"], result["calm_windows"]
    interval = binomtest(false, calm).proportion_ci(0.95)
    alone = ", ".join(f"{v:.2%} at {float(k):.0%}" for k, v in result["tests_alone"].items())
    print(f"  no shift: {false} alarms in {calm:,} windows, {false / calm:.2%} "
          f"[{interval.low:.2%}, {interval.high:.2%}], level 1%")  # fmt: skip
    print(f"  tests without tolerances: {alone}")


def main() -> None:
    """Print tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="+", default=list(WINDOW))
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--windows", type=int, default=20, help="of each shift in a split")
    parser.add_argument("--calm", type=int, default=100, help="without a shift in a split")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = []
    for name in arguments.datasets:
        results.append(measure(name, arguments.splits, arguments.windows, arguments.calm))
        if not arguments.json:
            show(results[-1])
    if arguments.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
