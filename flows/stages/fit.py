"""Training rows to a fitted detector."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from dagmm_model.preprocessing import Encoder
from data_checks.contract import Contract
from flows import progress
from flows.config import TrainConfig
from flows.features import as_frame, encoder_for, read_rows
from flows.records import FitRecord, SplitRecord, ValidateRecord
from flows.stages.split import positions
from flows.stopping import held_back
from flows.workspace import RunFolder, sha256_of, write_atomic

if TYPE_CHECKING:
    from dagmm_model.detector import Detector


def fit(
    run: RunFolder,
    contract: Contract,
    config: TrainConfig,
    validated: ValidateRecord,
    parts: SplitRecord,
    checkpoint_seconds: float,
    observers: Iterable[Any] = (),
) -> FitRecord:
    """Fit the detector on normal rows only; resumes from its last checkpoint.

    Args:
        run: Folder that receives the checkpoints, the encoder and the detector.
        contract: Decides the encoding.
        config: Detector and seed.
        validated: The valid rows.
        parts: The split.
        checkpoint_seconds: Time between two checkpoints.
        observers: Called with one record for each epoch.
    """
    from dagmm_model.checkpoint import Checkpointing
    from dagmm_model.persistence import save_detector
    from dagmm_model.training import choose_device

    table = read_rows(validated.path, contract, positions(parts, "train"))
    encoder = encoder_for(contract, table)
    matrix = encoder.encode(as_frame(table))
    del table
    detector = make_detector(config)
    with progress.bar("epochs") as show, held_back() as stop:

        def on_epoch(epoch: Any) -> None:
            show(epoch.epoch, epoch.epochs, f"loss {next(iter(epoch.terms.values())):.4g}")

        detector.fit(
            matrix,
            observers=(on_epoch, *observers),
            checkpoint=Checkpointing(
                run.path / "checkpoints", checkpoint_seconds, parts.train_sha256, stop
            ),
        )
    folder = run.path / "detector"
    shutil.rmtree(folder, ignore_errors=True)  # left by a run that died while saving
    save_detector(detector, folder)
    write_atomic(run.path / "encoder.json", json.dumps(encoder.to_dict()))
    health = detector.health_
    return FitRecord(
        detector=str(folder),
        sha256=sha256_of(folder),
        device=choose_device(detector.device),
        epochs=int(detector.n_iter_),
        last_epoch=dict(detector.history_[-1].terms) if detector.history_ else {},
        health={} if health is None else {k: float(np.max(v)) for k, v in asdict(health).items()},
        settings=json.loads(json.dumps(asdict(detector.settings_))),
    )


def make_detector(config: TrainConfig, **overrides: Any) -> Detector:
    """The unfitted detector of a configuration; `overrides` win over its settings."""
    from dagmm_model import detectors

    chosen = config.detector
    return detectors.make_detector(
        chosen.name, chosen.preset, config.seed, **chosen.settings | overrides
    )


def load_encoder(run: RunFolder) -> Encoder:
    """The encoder that the fit stage wrote."""
    return Encoder.from_dict(json.loads((run.path / "encoder.json").read_text(encoding="utf-8")))
