r"""Rows of a table scored in a second: levels looked up, network, mixture.

Raw KDD Cup 1999 rows (41 columns, some of them text) in memory -> energies. Beside it the textbook
way: the encoded matrix through a per-row `Dataset` and a `DataLoader`, a loop over the components.

    DAGMM_DATA_DIR=data python benchmarks/speed/scoring.py --threads 1 2 --json

With ``--model`` the whole command instead: raw rows in a file, results in another, in a process of
its own. The 494,021 rows of the 10 percent file are repeated up to ``--rows``.

    DAGMM_DATA_DIR=data python benchmarks/speed/scoring.py --rows 10000000 \
        --model models:/dagmm-kddcup@production --files csv parquet --reasons 3 none
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import torch
from measuring import GROUP, dagmm_score, in_turns, kdd, peak
from textbook import Rows, TextbookDAGMM
from threadpoolctl import ThreadpoolController
from torch.utils.data import DataLoader

from dagmm_model import DAGMM
from data_checks.contract.model import load_contract
from flows.common.features import as_frame, encoder_for

ENCODED_ROWS = 65_536
"""Rows encoded at a time."""


def rate(work: Callable[[], object], rows: int, rounds: int) -> dict[str, float]:
    """Rows a second, and processor time a row."""
    spent = in_turns({"": work}, rounds).median()
    return {
        "rows_per_second": round(rows / spent["wall"]),
        "processor_us_per_row": round(spent["processor"] / rows * 1e6, 2),
    }


def textbook(matrix: np.ndarray, threads: int, rounds: int) -> dict[str, float]:
    """The textbook network over the encoded rows."""
    torch.set_num_threads(threads)
    model = TextbookDAGMM(matrix.shape[1]).eval()
    mixture = model.mixture(*model(torch.tensor(matrix[:4096]))[1:])

    def score() -> None:
        with torch.no_grad():
            for batch, _ in DataLoader(Rows(matrix), batch_size=1024):
                model.energy(model(batch)[1], *mixture)

    return rate(score, len(matrix), rounds)


def in_memory(rows: int, threads: list[int], rounds: int, preset: str) -> dict[str, Any]:
    """Both ways with each number of threads, and what memory ours took."""
    contract, table = load_contract("kddcup"), kdd().slice(0, rows)
    table = table.select([column.name for column in contract.feature_columns])
    frame, encoder = as_frame(table), encoder_for(contract, table)
    sample = encoder.encode(frame.sample(4096, random_state=0))
    detector = DAGMM(preset=preset, epochs=2, random_state=0).fit(sample)
    scorer = detector.for_layout(encoder.layout)
    matrix = encoder.encode(frame.iloc[:20_000]).astype(np.float32)
    loaded, ways = peak(), {}

    def score() -> None:
        for start in range(0, len(frame), ENCODED_ROWS):
            scorer.energy(encoder.codes(frame.iloc[start : start + ENCODED_ROWS]))

    for number in threads:
        with ThreadpoolController().select(user_api="blas").limit(limits=number):
            ways[f"ours, {number} threads"] = rate(score, len(frame), rounds)
    memory = {"peak_mib_before_scoring": loaded, "peak_mib": peak()}
    for number in threads:
        ways[f"textbook, {number} threads"] = textbook(matrix, number, 3)
    return {"rows": len(frame), "width": sample.shape[1], **memory, "ways": ways}


def repeated(rows: int, kind: str, folder: Path) -> Path:
    """The KDD file repeated, as CSV or Parquet; made once."""
    path = folder / f"kdd-{rows}.{kind}"
    if path.exists():
        return path
    partial, once = path.with_suffix(".partial"), kdd()
    plain = pacsv.WriteOptions(include_header=False, quoting_style="none")
    writer = (
        pacsv.CSVWriter(partial, once.schema, write_options=plain)
        if kind == "csv"
        else pq.ParquetWriter(partial, once.schema)
    )
    with writer:
        for start in range(0, rows, len(once)):
            writer.write_table(once.slice(0, rows - start), GROUP)
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
    asked = parser.parse_args()
    if asked.model:
        asked.folder.mkdir(parents=True, exist_ok=True)
        for kind in asked.files:
            source = repeated(asked.rows, kind, asked.folder)
            for reasons in asked.reasons:
                print(json.dumps(whole_command(source, asked.model, reasons)), flush=True)
        return
    result = in_memory(asked.rows, asked.threads, asked.rounds, asked.preset)
    if asked.json:
        print(json.dumps(result, indent=1))
        return
    ways = pd.DataFrame(result.pop("ways")).T.to_string()
    print(", ".join(f"{name} {value}" for name, value in result.items()), ways, sep="\n")


if __name__ == "__main__":
    main()
