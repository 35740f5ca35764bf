r"""Rows of a table scored in a second: levels looked up, network, mixture.

Raw KDD Cup 1999 rows (41 columns, three of them text) in memory -> energies. Read from
``DAGMM_DATA_DIR``, or made up in the same shape where that is not set. Beside it the textbook way:
the encoded matrix through a per-row `Dataset` and a `DataLoader`, a loop over the components.

    DAGMM_DATA_DIR=data python benchmarks/speed/scoring.py --threads 1 2 --json

With ``--model`` the whole command instead: raw rows in a file, results in another, in a process of
its own. The 494,021 rows of the 10 percent file are repeated up to ``--rows``.

    DAGMM_DATA_DIR=data python benchmarks/speed/scoring.py --rows 10000000 \
        --model models:/dagmm-kddcup@production --files csv parquet --reasons 3 none
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from measuring import dagmm_score, peak
from threadpoolctl import ThreadpoolController

from dagmm_model import DAGMM
from dagmm_model.scoring.fused import FusedScorer
from dagmm_model.tables.preprocessing import Column, Encoder
from data_checks.contract.model import load_contract

SYMBOLIC = (1, 2, 3, 6, 11, 20, 21)
BLOCK = 65_536
"""Rows encoded at a time."""


def table(rows: int) -> pd.DataFrame:
    """KDD rows by column number, text columns as categoricals."""
    folder = os.environ.get("DAGMM_DATA_DIR")
    if folder:
        path = Path(folder) / "kddcup.data_10_percent.gz"
        frame = pd.read_csv(path, header=None, nrows=rows).iloc[:, :41]
    else:
        rng = np.random.default_rng(0)
        frame = pd.DataFrame(rng.exponential(100.0, size=(rows, 41)))
        for column, levels in zip(SYMBOLIC, (3, 66, 11, 2, 2, 1, 2), strict=True):
            frame[column] = rng.integers(0, levels, rows)
    for column in SYMBOLIC:
        frame[column] = frame[column].astype(str).astype("category")
    frame.columns = [str(column) for column in frame.columns]
    return frame


def encoder_of(frame: pd.DataFrame) -> Encoder:
    """The encoder of these rows; the first level of the constant column is dropped."""
    columns = []
    for name in frame.columns:
        if int(name) in SYMBOLIC:
            levels = tuple(frame[name].cat.categories)
            drop = levels[:1] if int(name) == 20 else ()
            columns.append(Column(name, "categorical", levels, drop))
        else:
            columns.append(Column(name))
    return Encoder(tuple(columns))


def ours(frame: pd.DataFrame, encoder: Encoder, scorer: FusedScorer) -> np.ndarray:
    """Energies of raw rows, block by block."""
    energies = [
        scorer.energy(encoder.codes(frame.iloc[start : start + BLOCK]))
        for start in range(0, len(frame), BLOCK)
    ]
    return np.concatenate(energies)


def rate(work: Any, rows: int, rounds: int) -> dict[str, float]:
    """Rows a second, and processor time a row: medians of the rounds, after one to warm up."""
    work()
    elapsed, worked = [], []
    for _ in range(rounds):
        started, spent = time.perf_counter(), time.process_time()
        work()
        elapsed.append(time.perf_counter() - started)
        worked.append(time.process_time() - spent)
    return {
        "rows_per_second": round(rows / statistics.median(elapsed)),
        "best_rows_per_second": round(rows / min(elapsed)),
        "processor_us_per_row": round(statistics.median(worked) / rows * 1e6, 2),
    }


def textbook(matrix: np.ndarray, threads: int, rounds: int) -> dict[str, float]:
    """The textbook network over the encoded rows."""
    import torch
    from textbook import Rows, TextbookDAGMM
    from torch.utils.data import DataLoader

    torch.set_num_threads(threads)
    model = TextbookDAGMM(matrix.shape[1]).eval()
    mixture = model.mixture(*model(torch.tensor(matrix[:4096]))[1:])

    def score() -> None:
        with torch.no_grad():
            for batch, _ in DataLoader(Rows(matrix), batch_size=1024):
                model.energy(model(batch)[1], *mixture)

    return rate(score, len(matrix), rounds)


def repeated(rows: int, kind: str, folder: Path) -> Path:
    """The KDD file, unpacked and repeated, as CSV or Parquet; made once."""
    source = Path(os.environ["DAGMM_DATA_DIR"]) / "kddcup.data_10_percent.gz"
    path = folder / f"kdd-{rows}.{kind}"
    if path.exists():
        return path
    partial = path.with_suffix(".partial")
    lines = gzip.decompress(source.read_bytes())
    once = lines.count(b"\n")
    if kind == "csv":
        with partial.open("wb") as file:
            for _ in range(rows // once):
                file.write(lines)
            file.writelines(lines.splitlines(keepends=True)[: rows % once])
    else:
        contract = load_contract("kddcup")
        read = pacsv.ReadOptions(column_names=list(contract.source_names))
        table = pacsv.read_csv(pa.BufferReader(lines), read)
        with pq.ParquetWriter(partial, table.schema) as writer:
            for start in range(0, rows, once):
                writer.write_table(table.slice(0, min(once, rows - start)), 131_072)
    partial.replace(path)
    return path


def whole_command(source: Path, model: str, reasons: str) -> dict[str, Any]:
    """One `dagmm score`: speed after start-up, processor time a row, peak memory."""
    output = source.with_name(f"scored{source.suffix}")
    load = os.getloadavg()[0]
    report, most, _ = dagmm_score(str(source), str(output), "--model", model, "--reasons", reasons)
    return {
        "file": source.suffix[1:],
        "reasons": reasons,
        "rows": report["rows"],
        "anomalies": report["anomalies"],
        "rows_per_second": round(report["rows"] / report["seconds"]),
        "seconds": round(report["seconds"], 1),
        "processor_us_per_row": round(report["processor_seconds"] / report["rows"] * 1e6, 2),
        "processors_used": round(report["processor_seconds"] / report["seconds"], 2),
        "peak_mib": most,
        "load_before_and_after": [round(load, 1), round(os.getloadavg()[0], 1)],
    }


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--preset", default="paper-kddcup")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--model", help="score files with this registered model")
    parser.add_argument("--files", nargs="+", default=["csv", "parquet"])
    parser.add_argument("--reasons", nargs="+", default=["3"])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "dagmm-bench"))
    arguments = parser.parse_args()
    if arguments.model:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        for kind in arguments.files:
            source = repeated(arguments.rows, kind, arguments.folder)
            for reasons in arguments.reasons:
                print(json.dumps(whole_command(source, arguments.model, reasons)), flush=True)
        return
    frame = table(arguments.rows)
    encoder = encoder_of(frame)
    sample = encoder.encode(frame.sample(4096, random_state=0))
    detector = DAGMM(preset=arguments.preset, epochs=2, random_state=0).fit(sample)
    scorer = detector.for_layout(encoder.layout)
    loaded = peak()
    result: dict[str, Any] = {"rows": len(frame), "width": sample.shape[1], "threads": {}}
    for threads in arguments.threads:
        with ThreadpoolController().select(user_api="blas").limit(limits=threads):
            result["threads"][str(threads)] = {
                "ours": rate(lambda: ours(frame, encoder, scorer), len(frame), arguments.rounds)
            }
    result["peak_mib"], result["peak_mib_before_scoring"] = peak(), loaded
    matrix = encoder.encode(frame.iloc[:20_000]).astype(np.float32)
    for threads in arguments.threads:
        result["threads"][str(threads)]["textbook"] = textbook(matrix, threads, 3)
    if arguments.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{result['rows']} rows, {result['width']} features")
    for threads, variants in result["threads"].items():
        for name, row in variants.items():
            print(f"  {threads} thread(s) {name:9} {row['rows_per_second']:>10,} rows/s"
                  f"  (best {row['best_rows_per_second']:,}), "
                  f"{row['processor_us_per_row']} µs of processor a row")  # fmt: skip
    print(f"  peak memory {result['peak_mib']} MiB, before scoring {loaded} MiB")


if __name__ == "__main__":
    main()
