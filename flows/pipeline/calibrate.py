"""Energies of held-out normal rows to a threshold, and the complete scoring bundle."""

import shutil
from pathlib import Path

import numpy as np

from dagmm_model.evaluation.metrics import paper_metrics
from dagmm_model.evaluation.threshold import Threshold, just_below
from dagmm_model.evaluation.threshold import calibrate as conformal
from flows.common.errors import UsageError
from flows.common.features import as_frame, labels_of, read_rows
from flows.pipeline.fitting.fit import load_encoder
from flows.pipeline.split import positions
from flows.stages.records import CalibrateRecord, FitRecord, JudgedRecord, SplitRecord
from flows.stages.run import TrainRun
from flows.stages.workspace import sha256_of


def calibrate_threshold(
    run: TrainRun, rows: JudgedRecord, parts: SplitRecord, fitted: FitRecord
) -> CalibrateRecord:
    """Set the threshold and write the bundle that will be served.

    The paper's protocol has no validation rows: its threshold comes from the labelled test rows,
    so its bundle is for comparison and not deployable.
    """
    from dagmm_model.detectors.bundle import ScoringBundle, row_scorer
    from dagmm_model.detectors.file_format import load_detector, save_bundle

    encoder, detector = load_encoder(run.path), load_detector(Path(fitted.detector))
    part = "validation" if parts.protocol == "deployment" else "test"
    table = read_rows(rows.path, run.contract, positions(parts, part))
    scorer = row_scorer(encoder, detector)  # the arithmetic that rows will be scored with
    energies = scorer.score(encoder.codes(as_frame(table)), np.inf).energy
    if part == "validation":
        threshold = conformal(energies, run.config.calibration.target_rate)
        reference = np.sort(energies)
    else:
        labels = labels_of(table)
        if labels is None or not labels.any():
            raise UsageError(
                "the paper's protocol needs labelled anomalies; use split.protocol=deployment"
            )
        threshold = _known_ratio(labels, energies)
        reference = np.sort(energies[~labels])
    folder = run.path / "bundle"
    shutil.rmtree(folder, ignore_errors=True)  # left by a run that died while saving
    save_bundle(ScoringBundle(encoder, detector, threshold, reference), folder)
    (folder / "contract.json").write_text(run.contract.model_dump_json(indent=2), encoding="utf-8")
    return CalibrateRecord(
        threshold=threshold,
        bundle=str(folder),
        sha256=sha256_of(folder),
        deployable=part == "validation",
    )


def _known_ratio(labels: np.ndarray, energies: np.ndarray) -> Threshold:
    metrics = paper_metrics(labels, energies)
    rate = float((energies[~labels] >= metrics.threshold).mean())
    # A row is an anomaly when its energy is above the threshold; the paper counts the boundary.
    return Threshold(
        value=just_below(metrics.threshold),
        method="known anomaly ratio of the labelled test rows (paper, section 4.3)",
        target_rate=rate,
        guaranteed_rate=1.0,
        calibration_rows=len(labels),
        note="set with the labels of the rows it is judged on: for comparison only",
    )
