"""Rows read and validated in a second, beside pandas and pandera on the same rules.

KDD Cup 1999, 494,021 rows of 42 columns. Every measurement is a process of its own, so that its
peak memory is its own; imports are timed apart. pandera is in the extra ``bench``.

    DAGMM_DATA_DIR=data python benchmarks/speed/validation.py --repeat 3
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from measuring import in_process, kdd_file, peak

from data_checks.contract.model import load_contract

CONTRACT = load_contract("kddcup")
Work = Callable[[], object]


def read(dtype: Any = None) -> Any:
    """`pandas.read_csv`, nothing checked."""
    import pandas as pd

    return pd.read_csv(kdd_file(), header=None, names=list(CONTRACT.source_names), dtype=dtype)


def ingest(folder: Path) -> Work:
    """Text to typed Parquet: types judged value by value, labels mapped, digests taken."""
    from data_checks.sources.sources import ingest

    return lambda: ingest(CONTRACT, folder / "t.parquet", data_dir=kdd_file().parent)


def validate(folder: Path) -> Work:
    """Great Expectations, row masks, quarantine, Data Docs; from the ingested Parquet."""
    from data_checks.validation.validation import validate

    ingest(folder)()
    return lambda: validate(folder / "t.parquet", CONTRACT, folder / "out")


def check_rows(_folder: Path) -> Work:
    """Rows to be scored, from a data frame, without Great Expectations."""
    from data_checks.rows.rows import check_rows

    frame = read()
    return lambda: check_rows(frame, CONTRACT)


def pandera(_folder: Path) -> Work:
    """The same ranges, vocabularies and nulls by pandera, from a data frame, lazily."""
    import pandera.pandas as pa

    frame = read({c.name: str for c in CONTRACT.columns if c.type == "categorical"})
    checks = {
        c.name: pa.Column(str, pa.Check.isin(c.vocabulary))
        if c.type == "categorical"
        else pa.Column(
            float,
            [pa.Check.ge(c.minimum), pa.Check.le(3.4e38 if c.maximum is None else c.maximum)],
            coerce=True,
        )
        for c in CONTRACT.columns
    }
    assert CONTRACT.label is not None
    checks["label"] = pa.Column(str, pa.Check.isin(CONTRACT.label.known))
    schema = pa.DataFrameSchema(checks, strict=True, ordered=True)
    return lambda: schema.validate(frame, lazy=True)


MEASURED: dict[str, tuple[str, Callable[[Path], Work]]] = {
    "pandas.read_csv": ("pandas", lambda _folder: read),
    "ingest": ("data_checks.sources.sources", ingest),
    "validate": ("data_checks.validation.validation", validate),
    "check_rows": ("data_checks.rows.rows", check_rows),
    "pandera": ("pandera.pandas", pandera),
}
"""What is imported, and what prepares the work."""


def one(name: str) -> dict[str, float]:
    """Measure one thing in this process."""
    module, prepare = MEASURED[name]
    started = time.perf_counter()
    import_module(module)
    imported = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        work = prepare(Path(folder))
        started = time.perf_counter()
        work()
        return {"seconds": time.perf_counter() - started, "imports": imported, "peak_mib": peak()}


def main() -> None:
    """Measure everything, `--repeat` times, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=MEASURED, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(asked.one)))
        return
    import pandas as pd

    names = [name for name in MEASURED if name != "pandera" or find_spec("pandera")]
    if "pandera" not in names:
        print("pandera is left out: pip install dagmm-pipeline[bench]", file=sys.stderr)
    rows = len(read())
    runs = [
        {"name": name} | in_process(__file__, "--one", name)
        for name in names
        for _ in range(asked.repeat)
    ]
    result = pd.DataFrame(runs).groupby("name", sort=False).median()
    result["rows_per_second"] = rows / result["seconds"]
    print(result.to_json(orient="index", indent=1) if asked.json else result.round(2).to_string())


if __name__ == "__main__":
    main()
