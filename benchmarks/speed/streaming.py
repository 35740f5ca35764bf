"""Training streamed from Parquet against training in memory: what it detects.

    python benchmarks/speed/streaming.py --folder FOLDER --seeds 3

Trains on the normal rows of KDDCUP (DAGMM_DATA_DIR) by the pipeline's split, in the file's order,
which is one attack after the other: in memory, and through windows of several sizes. What it holds
in memory, `scaling.py` measures.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dagmm_model.detectors.dagmm import DAGMM
from dagmm_model.detectors.streamed.fit import fit_streamed
from dagmm_model.evaluation.metrics import paper_metrics
from dagmm_model.tables.protocols import RowSplit, deployment_split
from data_checks.contract.model import load_contract
from data_checks.sources.sources import ingest
from flows.common.features import as_frame, encoder_for, labels_of, read_rows
from flows.common.settings import Settings
from flows.pipeline.fitting import training_rows
from flows.pipeline.split import _as_table
from flows.stages.records import JudgedRecord, SplitRecord

CONTRACT = load_contract("kddcup")
TEST_ROWS = 50_000
WINDOWS = (131_072, 32_768, 8_192)


def kddcup(folder: Path) -> Path:
    """The table as the pipeline reads it."""
    path = folder / "kddcup.parquet"
    if not path.exists():
        ingest(CONTRACT, path, data=None, data_dir=Settings().data_dir)
    return path


def written(table: Path, folder: Path, train: np.ndarray, seed: int) -> Path:
    """Folder with the streamed form of these rows of a table."""
    folder.mkdir(parents=True, exist_ok=True)
    nothing = np.empty(0, dtype=np.int64)
    parts = folder / "parts.parquet"
    pq.write_table(_as_table(RowSplit(train, nothing, nothing, nothing)), parts)
    split = SplitRecord.model_construct(parts=str(parts), seed=seed)
    rows = JudgedRecord.model_construct(path=str(table))
    training_rows.write_training_rows(folder, rows, CONTRACT, split)
    return folder


def quality(folder: Path, seeds: int, settings: dict[str, object]) -> None:
    """Print loss of the last epoch and F1 by the paper's threshold, for each seed and way."""
    table = kddcup(folder)
    everything = read_rows(table, CONTRACT)
    labels = labels_of(everything)
    for seed in range(seeds):
        split = deployment_split(labels, seed)
        test = np.sort(np.random.default_rng(seed).choice(split.test, TEST_ROWS, replace=False))
        train = everything.take(pa.array(split.train))
        encoder = encoder_for(CONTRACT, train)
        x, held = (encoder.encode(as_frame(t)) for t in (train, everything.take(pa.array(test))))

        def measured(way: str, detector: DAGMM, seconds: float, seed=seed, held=held, test=test):
            metrics = paper_metrics(labels[test], detector.energy(held))
            last = detector.history_[-1] if detector.history_ else None
            row = {
                "seed": seed,
                "way": way,
                "loss": last and last.total,
                "energy": last and last.energy,
                "f1": metrics.f1,
                "roc_auc": metrics.roc_auc,
                "processor_seconds": seconds,
            }
            print(json.dumps(row), flush=True)

        started = time.process_time()
        detector = DAGMM(random_state=seed, **settings).fit(x)
        measured("memory", detector, time.process_time() - started)
        untrained = DAGMM(random_state=seed, **settings | {"epochs": 0}).fit(x)
        measured("untrained", untrained, 0.0)
        place = written(table, folder / f"seed{seed}", split.train, seed)
        for window in WINDOWS:
            started = time.process_time()
            _, groups = training_rows.read(place, CONTRACT)
            detector = DAGMM(random_state=seed, **settings)
            fit_streamed(detector, groups, buffer_rows=window)
            measured(f"windows of {window}", detector, time.process_time() - started)


def main() -> None:
    """Print a JSON document a line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="key=JSON value of DAGMM")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    settings = {k: json.loads(v) for k, v in (pair.split("=", 1) for pair in given.set)}
    quality(given.folder, given.seeds, settings)


if __name__ == "__main__":
    main()
