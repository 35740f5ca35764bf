"""Rows read and validated in a second, beside pandas and pandera on the same rules.

KDD Cup 1999, 494,021 rows of 42 columns, from ``DAGMM_DATA_DIR``; made up in the same shape where
that is not set. Every measurement is a process of its own, so that its peak memory is its own;
imports are timed apart. pandera is optional: ``pip install dagmm-pipeline[bench]``.

    DAGMM_DATA_DIR=data python benchmarks/speed/validation.py --repeat 3 --json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measuring import peak

from data_checks.contract.model import Contract, load_contract

ROWS = 494_021
FILE = "kddcup.data_10_percent.gz"


def made_up(folder: Path, contract: Contract) -> None:
    """Write rows that satisfy the contract's rules, in the shape of the published file."""
    import pandas as pd

    rng = np.random.default_rng(0)
    columns: dict[str, object] = {}
    for column in contract.columns:
        if column.type == "categorical":
            columns[column.name] = rng.choice(column.vocabulary, ROWS)
        elif column.maximum == 1:
            columns[column.name] = rng.integers(0, 101, ROWS) / 100
        else:
            columns[column.name] = rng.integers(0, int(column.maximum or 10_000) + 1, ROWS)
    assert contract.label is not None
    names = np.array([*contract.label.anomalous, *contract.label.normal])
    weights = np.full(len(names), 0.80309 / (len(names) - 1))
    weights[0] = 0.19691
    columns["label"] = rng.choice(names, ROWS, p=weights)
    pd.DataFrame(columns).to_csv(folder / FILE, header=False, index=False)


def pandas_read(contract: Contract, folder: Path) -> tuple[float, float]:
    """`pandas.read_csv`, nothing checked."""
    start = time.perf_counter()
    import pandas as pd

    imported = time.perf_counter()
    pd.read_csv(folder / FILE, header=None, names=list(contract.source_names))
    return imported - start, time.perf_counter() - imported


def ingest_only(contract: Contract, folder: Path) -> tuple[float, float]:
    """Text to typed Parquet: types judged value by value, labels mapped, digests taken."""
    start = time.perf_counter()
    from data_checks.sources.sources import ingest

    imported = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        ingest(contract, Path(out) / "t.parquet", data_dir=folder)
        return imported - start, time.perf_counter() - imported


def validate_only(contract: Contract, folder: Path) -> tuple[float, float]:
    """Great Expectations, row masks, quarantine, Data Docs; from the ingested Parquet."""
    start = time.perf_counter()
    from data_checks.sources.sources import ingest
    from data_checks.validation.validation import validate

    imported = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        record = ingest(contract, Path(out) / "t.parquet", data_dir=folder)
        ready = time.perf_counter()
        report = validate(Path(record.path), contract, Path(out) / "out")
        assert report.rows_quarantined == 0, report.message
        return imported - start, time.perf_counter() - ready


def check_rows_only(contract: Contract, folder: Path) -> tuple[float, float]:
    """Rows to be scored, from a data frame, without Great Expectations."""
    start = time.perf_counter()
    import pandas as pd

    from data_checks.rows.rows import check_rows

    imported = time.perf_counter() - start
    frame = pd.read_csv(folder / FILE, header=None, names=list(contract.source_names))
    ready = time.perf_counter()
    assert check_rows(frame, contract).rejected == 0
    return imported, time.perf_counter() - ready


def pandera_validate(contract: Contract, folder: Path) -> tuple[float, float]:
    """Run pandera on the same ranges, vocabularies and nulls, from a data frame, lazily."""
    start = time.perf_counter()
    import pandas as pd
    import pandera.pandas as pa

    imported = time.perf_counter() - start
    names = list(contract.source_names)
    text = {c.name: str for c in contract.columns if c.type == "categorical"}
    frame = pd.read_csv(folder / FILE, header=None, names=names, dtype=text)
    checks = {
        c.name: pa.Column(str, pa.Check.isin(c.vocabulary))
        if c.type == "categorical"
        else pa.Column(
            float,
            [pa.Check.ge(c.minimum), pa.Check.le(3.4e38 if c.maximum is None else c.maximum)],
            coerce=True,
        )
        for c in contract.columns
    }
    assert contract.label is not None
    checks["label"] = pa.Column(str, pa.Check.isin(contract.label.known))
    schema = pa.DataFrameSchema(checks, strict=True, ordered=True)
    ready = time.perf_counter()
    schema.validate(frame, lazy=True)
    return imported, time.perf_counter() - ready


MEASURED: dict[str, Callable[[Contract, Path], tuple[float, float]]] = {
    "pandas.read_csv": pandas_read,
    "ingest": ingest_only,
    "validate": validate_only,
    "check_rows": check_rows_only,
    "pandera": pandera_validate,
}


def one(name: str, folder: Path, pinned: bool) -> None:
    """Measure one thing in this process and print it as JSON."""
    contract = load_contract("kddcup")
    if not pinned:
        free = {"sha256": None}
        source = contract.source.model_copy(update=free)
        contract = contract.model_copy(update={"source": source, "ratio_tolerance": 0.01})
    imports, seconds = MEASURED[name](contract, folder)
    print(json.dumps({"imports": imports, "seconds": seconds, "peak_mib": peak()}))


def main() -> None:
    """Measure everything, `--repeat` times, and print medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=MEASURED, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    configured = os.environ.get("DAGMM_DATA_DIR")
    pinned = bool(configured) and (Path(configured) / FILE).is_file()
    if arguments.one:
        return one(arguments.one, arguments.folder, pinned)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(configured) if pinned else Path(made)
        if not pinned:
            made_up(folder, load_contract("kddcup"))
        results = [measured(name, folder, arguments.repeat) for name in MEASURED]
    if arguments.json:
        print(json.dumps({"rows": ROWS, "published_file": pinned, "results": results}, indent=1))
        return None
    print(f"{'':16}{'seconds':>9}{'rows/s':>12}{'peak MiB':>10}{'imports s':>11}")
    for row in results:
        if "missing" in row:
            print(f"{row['name']:16}  {row['missing']}")
            continue
        print(
            f"{row['name']:16}{row['seconds']:9.2f}{row['rows_per_second']:12,.0f}"
            f"{row['peak_mib']:10,.0f}{row['imports']:11.2f}"
        )
    return None


def measured(name: str, folder: Path, repeat: int) -> dict:
    """Medians of one measurement over `repeat` processes."""
    command = [sys.executable, __file__, "--one", name, "--folder", str(folder)]
    runs = []
    for _ in range(repeat):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode and "No module named 'pandera'" in done.stderr:
            return {"name": name, "missing": "not installed: pip install dagmm-pipeline[bench]"}
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr}")
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    return {"name": name, **medians, "rows_per_second": ROWS / medians["seconds"]}


if __name__ == "__main__":
    main()
