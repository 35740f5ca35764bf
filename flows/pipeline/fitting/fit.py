"""Training rows to a fitted detector."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dagmm_model.base.distributed import ALONE, Ranks
from dagmm_model.detectors.interface import Detector
from dagmm_model.tables.preprocessing import Encoder
from data_checks.contract.model import Contract
from flows.common import progress
from flows.common.config import TrainConfig
from flows.common.features import as_frame, encoder_for, read_rows
from flows.common.signals import held_back
from flows.common.value_types import Frozen
from flows.pipeline.fitting import training_rows
from flows.pipeline.fitting.ranks import FIT
from flows.pipeline.split import positions
from flows.stages.records import FitRecord, JudgedRecord, SplitRecord
from flows.stages.workspace import CHECKPOINTS, sha256_of, write_atomic


class FitWork(Frozen):
    """What there is to fit, as the first rank tells it to the others.

    Attributes:
        run: Folder that receives the checkpoints, the encoder and the detector.
        contract: Decides the encoding.
        config: Detector and seed.
        rows: The valid rows, with what people have said of them.
        parts: The split.
        checkpoint_seconds: Time between two checkpoints.
    """

    run: Path
    contract: Contract
    config: TrainConfig
    rows: JudgedRecord
    parts: SplitRecord
    checkpoint_seconds: float


def fit_detector(
    work: FitWork,
    observers: Iterable[Any] = (),
    ranks: Ranks = ALONE,
    plan: Callable[[Mapping[str, Any]], None] = lambda _settings: None,
) -> FitRecord:
    """Fit the detector on normal rows only; resumes from its last checkpoint.

    Args:
        work: What to fit.
        observers: Called with one record for each epoch.
        ranks: That fit together; this one is the first.
        plan: Is told the settings before the first epoch.
    """
    from dagmm_model.base.checkpoint import FILE, damage
    from dagmm_model.detectors.file_format import save_detector

    if work.config.fit.streaming:
        training_rows.write_training_rows(work.run, work.rows, work.contract, work.parts)
    if why := damage(work.run / CHECKPOINTS):
        progress.note(f"{why}: the training starts over")
        (work.run / CHECKPOINTS / FILE).unlink()
    ranks.tell(FIT, work.model_dump_json())
    with progress.bar("epochs") as show:
        show(0, None, "preparing")  # scales; a first training compiles its loops

        def on_epoch(epoch: Any) -> None:
            after = ", finishing" if epoch.epoch == epoch.epochs else ""  # the mixture takes long
            loss = next(iter(epoch.terms.values()))
            show(epoch.epoch, epoch.epochs, f"loss {loss:.4g}{after}")

        encoder, detector = _fitted(work, (on_epoch, *observers), ranks, plan)
    folder = work.run / "detector"
    shutil.rmtree(folder, ignore_errors=True)  # left by a run that died while saving
    save_detector(detector, folder)
    write_atomic(work.run / "encoder.json", json.dumps(encoder.to_dict()))
    health = detector.health_
    terms = [dict(epoch.terms) for epoch in detector.history_]
    # Epochs before the objective's, of layers or of the autoencoder alone, have other terms.
    first = next((each for each in terms if each.keys() == terms[-1].keys()), {})
    return FitRecord(
        detector=str(folder),
        sha256=sha256_of(folder),
        device=detector.device_.name,
        device_reason=detector.device_.reason,
        ranks=ranks.size,
        epochs=int(detector.n_iter_),
        first_epoch=first,
        last_epoch=terms[-1] if terms else {},
        health={} if health is None else {k: float(np.max(v)) for k, v in asdict(health).items()},
        settings=json.loads(json.dumps(asdict(detector.settings_))),
    )


def assist(text: str, ranks: Ranks) -> None:
    """Do another rank's part of the `FitWork` that the first one told."""
    _fitted(FitWork.model_validate_json(text), (), ranks, lambda _settings: None)


def _fitted(
    work: FitWork,
    observers: Sequence[Any],
    ranks: Ranks,
    plan: Callable[[Mapping[str, Any]], None],
) -> tuple[Encoder, Detector]:
    """The encoder and, on the first rank, the fitted detector."""
    from dagmm_model.base.checkpoint import Checkpointing
    from dagmm_model.detectors.dagmm import DAGMM
    from dagmm_model.training.loop import selects

    detector = configured_detector(work.config)
    with held_back() as stop:
        place = Checkpointing(
            work.run / CHECKPOINTS, work.checkpoint_seconds, work.parts.train_sha256, stop
        )
        common: dict[str, Any] = {"observers": observers, "checkpoint": place}
        if not ranks.alone:  # which only a DAGMM takes; `ranks.joined` refuses all others
            common["ranks"] = ranks
        if work.config.fit.streaming:
            from dagmm_model.detectors.streamed.fit import fit_streamed

            encoder, groups = training_rows.read(work.run, work.contract)
            plan(asdict(detector.settings_for(groups.rows, groups.sample.shape[1])))
            fit_streamed(detector, groups, buffer_rows=work.config.fit.buffer_rows, **common)
        else:
            train = positions(work.parts, "train")
            table = read_rows(work.rows.path, work.contract, train)
            encoder = encoder_for(work.contract, table)
            matrix = encoder.encode(as_frame(table))
            del table
            settings = detector.settings_for(*matrix.shape)
            plan(asdict(settings))
            watched = positions(work.parts, "validation")
            # They calibrate the threshold, and so may choose no epoch.
            if len(watched) and isinstance(detector, DAGMM) and not selects(settings):
                held = read_rows(work.rows.path, work.contract, watched)
                common["validation"] = encoder.encode(as_frame(held))
            detector.fit(matrix, **common)
    return encoder, detector


def configured_detector(config: TrainConfig, **overrides: Any) -> Detector:
    """The unfitted detector of a configuration; `overrides` win over its settings."""
    from dagmm_model.detectors import catalogue as detectors

    chosen = config.detector
    return detectors.make_detector(
        chosen.name, chosen.preset, config.seed, **chosen.settings | overrides
    )


def load_encoder(folder: Path) -> Encoder:
    """The encoder that the fit stage wrote."""
    return Encoder.from_dict(json.loads((folder / "encoder.json").read_text(encoding="utf-8")))
