"""What the benchmarks of speed measure with, and the rows that they measure on."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from data_checks.contract.model import load_contract

GROUP = 131_072
"""Rows of a row group in the files that are written here."""
FILE = "kddcup.data_10_percent.gz"


def kdd_file() -> Path:
    """Rows of KDD Cup 1999 in the folder that ``DAGMM_DATA_DIR`` names."""
    return Path(os.environ["DAGMM_DATA_DIR"]) / FILE


def kdd() -> pa.Table:
    """The file's raw rows, as `dagmm score` gets them."""
    contract = load_contract("kddcup")
    text = {c.name: pa.string() for c in contract.feature_columns if c.type == "categorical"}
    names = pacsv.ReadOptions(column_names=list(contract.source_names))
    return pacsv.read_csv(
        kdd_file(), names, convert_options=pacsv.ConvertOptions(column_types=text)
    )


def peak() -> float:
    """Peak resident memory of this process so far, MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def in_turns(variants: dict[str, Callable[[], object]], rounds: int, pause: float = 0.0) -> Any:
    """Seconds of every variant, in turns, so that a slow minute slows all; one round warms up.

    Returns:
        A data frame of `wall` and `processor`, by variant, a row for each of its rounds.
    """
    import pandas as pd

    spent = []
    for name, work in [*variants.items()] * (rounds + 1):
        time.sleep(pause)
        wall, processor = time.perf_counter(), time.process_time()
        work()
        spent.append((name, time.perf_counter() - wall, time.process_time() - processor))
    table = pd.DataFrame(spent[len(variants) :], columns=["variant", "wall", "processor"])
    return table.set_index("variant").rename_axis(None)


def in_process(program: str, *arguments: object, **environment: str) -> dict[str, Any]:
    """The JSON document that a benchmark prints in a process of its own, whose peak is its own."""
    command = [sys.executable, program, *map(str, arguments)]
    variables = os.environ | environment
    done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


def dagmm_score(*arguments: str) -> tuple[dict[str, Any], float, float]:
    """One `dagmm score` as a process: its report, its peak memory in MiB, its seconds."""
    command = [str(Path(sys.executable).with_name("dagmm")), "score", *arguments, "--json"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        printed = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"dagmm score ended with status {process.returncode}")
    seconds = time.perf_counter() - started
    return json.loads(printed), round(usage.ru_maxrss / 1024, 1), seconds
