"""Detection on the benchmark tables: our presets, the rows that keep them honest, simple rivals.

For each data set, protocol and seed: DAGMM with each preset, the same network untrained (mixture
fitted once; the recommended one then is its fixed linear path, so a row with random weights and no
such path is given, too), the trained network's reconstruction error alone, the best single
column (chosen with the test labels: an upper bound for anything that simple), PCA reconstruction,
Mahalanobis distance, isolation forest and k nearest neighbours.

    DAGMM_DATA_DIR=data python benchmarks/results.py --datasets thyroid wdbc --seeds 20 \
        --presets paper recommended --json results.jsonl

Each result is a line of the file as soon as it is there; a second run goes on where the first one
stopped. Without --json nothing is kept. `--table FILE ...` only prints tables.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits

from dagmm_model.detectors import make_detector
from dagmm_model.estimator import DAGMM
from dagmm_model.evaluation import paper_metrics
from dagmm_model.inference import chunks
from dagmm_model.protocols import deployment_split, duplicate_groups, paper_split
from dagmm_model.rivals.simple import SIMPLE
from dagmm_model.threshold import calibrate
from data_checks.contract import load_contract
from data_checks.sources import ingest
from flows.features import encoder_for

DATASETS = ("kddcup", "kddcup_rev", "thyroid", "arrhythmia", "wdbc")
TARGET_RATE = 0.05
Matrix = np.ndarray
Scoring = Callable[[Matrix], np.ndarray]


def load(dataset: str, data_dir: Path) -> tuple[Matrix, np.ndarray]:
    """Encoded rows, float32 ``(n, D)``, and labels, bool ``(n,)``."""
    contract = load_contract(dataset)
    with tempfile.TemporaryDirectory() as folder:
        record = ingest(contract, Path(folder) / "table.parquet", data_dir=data_dir)
        table = pq.read_table(record.path)
    label = contract.label
    assert label is not None
    text = np.array([str(value) for value in table.column(label.column).to_pylist()])
    if label.anomalous == "*":
        anomalous = ~np.isin(text, label.normal)
    else:
        anomalous = np.isin(text, label.anomalous)
    return encoder_for(contract, table).encode(table.to_pandas()), anomalous


def metrics(
    labels: np.ndarray, energies: np.ndarray, held: np.ndarray | None
) -> dict[str, float | None]:
    """Figures of one scoring of the test rows; ``held`` are energies of validation normals."""
    if held is None:
        known = paper_metrics(labels, energies)
        return {"f1": known.f1, "roc_auc": known.roc_auc, "ap": known.average_precision}
    flagged = energies > calibrate(held, TARGET_RATE).value
    hits = float((flagged & labels).sum())
    return {
        "f1": 2 * hits / (flagged.sum() + labels.sum()),
        "roc_auc": float(roc_auc_score(labels, energies)),
        "ap": float(average_precision_score(labels, energies)),
        "recall": hits / labels.sum(),
        "false_alarms": float(flagged[~labels].mean()),
    }


def detectors(
    dataset: str, presets: list[str], train: Matrix, seed: int, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, Scoring, float, dict[str, Any]]]:
    """Every detector that is wanted, fitted: name, scoring, seconds of fitting, remarks."""
    for preset in presets:
        name = f"paper-{dataset.replace('_', '-')}" if preset == "paper" else preset
        if name == "paper-wdbc":
            name = "paper"
        if wanted(preset) or wanted(f"{preset}, reconstruction error"):
            started = time.perf_counter()
            model = DAGMM(preset=name, random_state=seed).fit(train)
            seconds = time.perf_counter() - started
            health = model.health_
            remarks = {"components": round(health.effective_components, 2)}
            yield preset, model.energy, seconds, remarks
            yield f"{preset}, reconstruction error", reconstruction_error(model), seconds, {}
        bare: dict[str, dict[str, Any]] = {f"{preset}, untrained": {}}
        if preset == "recommended":  # untrained, it starts as principal components
            bare[f"{preset}, random weights"] = {"linear_path": "none"}
        for row, options in bare.items():
            if wanted(row):
                started = time.perf_counter()
                model = DAGMM(preset=name, random_state=seed, epochs=0, **options).fit(train)
                yield row, model.energy, time.perf_counter() - started, {}
    for name in SIMPLE:
        if wanted(name):
            started = time.perf_counter()
            detector = make_detector(name, seed=seed).fit(train)
            yield name, detector.energy, time.perf_counter() - started, {}


def reconstruction_error(model: DAGMM) -> Scoring:
    """Squared reconstruction error of the scaled row, mean over the members."""
    scaler, scorer = model._scaler, model._scorer

    def score(rows: Matrix) -> np.ndarray:
        out = np.empty(len(rows))
        for part in chunks(len(rows)):
            x = scaler.transform(rows[part])
            out[part] = ((scorer.compress(x)[1] - x) ** 2).sum(axis=2).mean(axis=0)
        return out

    return score


def best_column(labels: np.ndarray, test: Matrix) -> tuple[str, np.ndarray]:
    """The column, and its direction, with the largest ROC AUC on the test rows."""
    areas = np.array([roc_auc_score(labels, test[:, d]) for d in range(test.shape[1])])
    column = int(np.abs(areas - 0.5).argmax())
    sign = 1.0 if areas[column] >= 0.5 else -1.0
    return f"column {column}", sign * test[:, column].astype(np.float64)


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """All cells that the file does not hold yet; returns old and new ones."""
    path = arguments.json
    cells = read(path) if path is not None and path.exists() else []
    done = {key(cell) for cell in cells}
    for dataset in arguments.datasets:
        rows, labels = load(dataset, arguments.data_dir)
        groups = duplicate_groups(rows) if arguments.group_duplicates else None
        for protocol in arguments.protocols:
            for seed in range(arguments.first_seed, arguments.seeds):
                head = {
                    "dataset": dataset,
                    "protocol": protocol,
                    "grouped": bool(arguments.group_duplicates),
                    "seed": seed,
                }

                def wanted(name: str, head: dict[str, Any] = head) -> bool:
                    asked = arguments.detectors is None or name in arguments.detectors
                    return asked and key(head | {"detector": name}) not in done

                split = (paper_split if protocol == "paper" else deployment_split)(
                    labels, seed, groups=groups
                )
                test, truth = rows[split.test], labels[split.test]
                held = rows[split.validation] if protocol == "deployment" else None
                new: list[dict[str, Any]] = []
                if wanted("best column") and held is None:
                    column, energies = best_column(truth, test)
                    remarks = {"column": column, "seconds": 0.0}
                    new.append(
                        head
                        | {"detector": "best column"}
                        | metrics(truth, energies, None)
                        | remarks
                    )
                for name, score, seconds, remarks in detectors(
                    dataset, arguments.presets, rows[split.train], seed, wanted
                ):
                    energies = score(test)
                    figures = metrics(truth, energies, None if held is None else score(held))
                    new.append(head | {"detector": name} | figures | {"seconds": seconds} | remarks)
                    save(path, new)
                    cells.extend(new)
                    new.clear()
                save(path, new)
                cells.extend(new)
    return cells


def key(cell: dict[str, Any]) -> tuple[Any, ...]:
    """What makes a cell the same."""
    return tuple(cell[name] for name in ("dataset", "protocol", "grouped", "seed", "detector"))


def read(path: Path) -> list[dict[str, Any]]:
    """The cells of a file; a line that was cut short is left out."""
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines if line.endswith("}")]


def save(path: Path | None, cells: list[dict[str, Any]]) -> None:
    """Append cells to the file."""
    if path is not None and cells:
        cut_short = path.exists() and not path.read_bytes().endswith(b"\n")
        with path.open("a") as file:
            file.write("\n" if cut_short else "")
            file.writelines(json.dumps(cell) + "\n" for cell in cells)


def tables(cells: list[dict[str, Any]]) -> str:
    """Markdown: a table for each protocol, mean and standard deviation over the seeds."""
    unique = {key(cell): cell for cell in cells}.values()
    parts = []
    for protocol, grouped in sorted({(c["protocol"], c["grouped"]) for c in unique}, reverse=True):
        chosen = [c for c in unique if (c["protocol"], c["grouped"]) == (protocol, grouped)]
        datasets = [d for d in DATASETS if any(c["dataset"] == d for c in chosen)]
        names = list(dict.fromkeys(c["detector"] for c in chosen))
        shown = ("f1", "roc_auc") if protocol == "paper" else ("roc_auc", "recall", "false_alarms")
        title = f"{protocol} protocol" + (", duplicates on one side" if grouped else "")
        parts.append(f"### {title}: {' / '.join(shown)}, mean ± sd\n")
        parts.append("| | " + " | ".join(datasets) + " |\n|---|" + "---|" * len(datasets))
        for name in names:
            line = [name]
            for dataset in datasets:
                mine = [c for c in chosen if c["dataset"] == dataset and c["detector"] == name]
                line.append(
                    " / ".join(_spread([c[figure] for c in mine]) for figure in shown)
                    + f" ({len(mine)})"
                    if mine
                    else "–"
                )
            parts.append("| " + " | ".join(line) + " |")
        parts.append("")
    return "\n".join(parts)


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=DATASETS)
    parser.add_argument("--seeds", type=int, default=20, help="seeds 0 to this minus 1")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--presets", nargs="*", default=["paper", "recommended"])
    parser.add_argument(
        "--protocols", nargs="+", default=["paper"], choices=("paper", "deployment")
    )
    parser.add_argument("--detectors", nargs="+", help="rows to work out; all where not given")
    parser.add_argument("--group-duplicates", action="store_true")
    parser.add_argument(
        "--data-dir", type=Path, default=Path(os.environ.get("DAGMM_DATA_DIR", "data"))
    )
    parser.add_argument("--json", type=Path, help="file of results, one JSON object a line")
    parser.add_argument("--table", type=Path, nargs="+", help="print these files' tables and stop")
    arguments = parser.parse_args()
    if arguments.table is not None:
        print(tables([cell for path in arguments.table for cell in read(path)]))
        return
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a raised jitter is no news here
        print(tables(run(arguments)))


if __name__ == "__main__":
    main()
