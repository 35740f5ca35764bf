"""The bundle's evidence on the test rows, and that of plain detectors."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dagmm_model.evaluation.metrics import deployment_metrics, paper_metrics, slice_metrics
from data_checks.contract.model import ROW_ID
from flows.common.config import TrainConfig
from flows.common.features import as_frame, labels_of, read_rows
from flows.pipeline.fitting import training_rows
from flows.pipeline.fitting.fit import configured_detector
from flows.pipeline.split import positions
from flows.stages import records
from flows.stages.run import TrainRun
from flows.stages.workspace import sha256_of

UNTRAINED = "untrained_energies.parquet"


def evaluate_detector(
    run: TrainRun,
    rows: records.JudgedRecord,
    parts: records.SplitRecord,
    calibrated: records.CalibrateRecord,
) -> records.EvaluateRecord:
    """Score the test rows with the bundle as it will be served."""
    from dagmm_model.detectors.file_format import load_bundle

    contract = run.contract
    bundle = load_bundle(Path(calibrated.bundle))
    table = read_rows(rows.path, contract, positions(parts, "test"))
    frame, labels = as_frame(table), labels_of(table)
    scores = bundle.score(frame)
    columns = {
        "row_id": table.column(ROW_ID),
        "energy": scores.energy,
        "p_value": scores.p_value,
        "is_anomaly": scores.is_anomaly,
    }
    if labels is not None:
        columns["label"] = labels
    path = run.path / "test_energies.parquet"
    pq.write_table(pa.table(columns), path)
    measurable = labels is not None and 0 < int(labels.sum()) < len(labels)
    slices: Any = ()
    if labels is not None and contract.slice_column in table.column_names:
        values = table.column(contract.slice_column).to_pylist()
        slices = slice_metrics(values, labels, scores.energy, bundle.threshold.value)
    untrained: dict[str, np.ndarray] = {}
    if measurable and bundle.detector.n_iter_:
        train = training_rows.rows_to_measure(run.path, rows, contract, parts)
        untrained = _untrained(
            run.config, bundle.encoder.encode(as_frame(train)), bundle.encoder.encode(frame)
        )
        pq.write_table(pa.table(untrained), run.path / UNTRAINED)
    return records.EvaluateRecord(
        deployment=deployment_metrics(labels, scores.energy, bundle.threshold.value),
        known_ratio=paper_metrics(labels, scores.energy) if measurable else None,
        slices=slices,
        sanity=tuple(_sanity_row(name, labels, energies) for name, energies in untrained.items()),
        untrained=str(run.path / UNTRAINED) if untrained else None,
        energies=str(path),
        sha256=sha256_of(path),
    )


def _untrained(config: TrainConfig, train: np.ndarray, test: np.ndarray) -> dict[str, np.ndarray]:
    """Energies without which a figure proves nothing: the same detector before any training.

    A network that starts from the principal axes is no random one; that one gets a row of its own.
    """
    untrained = configured_detector(config, epochs=0).fit(train)
    energies = {"untrained": untrained.energy(test)}
    if getattr(untrained.settings_, "linear_path", "none") != "none":
        blind = configured_detector(config, epochs=0, linear_path="none").fit(train)
        energies["random weights"] = blind.energy(test)
    return energies


def _sanity_row(name: str, labels: np.ndarray, energies: np.ndarray) -> records.SanityRow:
    metrics = paper_metrics(labels, energies)
    return records.SanityRow(
        name=name,
        f1=metrics.f1,
        roc_auc=metrics.roc_auc,
        average_precision=metrics.average_precision,
    )
