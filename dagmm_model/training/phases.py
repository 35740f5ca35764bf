"""Trainings in phases: layers by themselves, the autoencoder by itself, then the objective.

Each phase is a training of its own with a checkpoint folder of its own, which a finished phase
leaves behind: a run that was killed finds the phases before again, and goes on in the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.base.checkpoint import Checkpointing
from dagmm_model.base.distributed import ALONE, Ranks
from dagmm_model.base.settings import refuse
from dagmm_model.networks.network import initialise
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.training.epochs import Epoch, EpochLike, Observer
from dagmm_model.training.loop import Trained, train

Convert = Callable[[Any], EpochLike]


def train_in_phases(
    x: NDArray[np.float32],
    settings: DagmmSettings,
    seeds: Sequence[int],
    *,
    sample_weight: Float | None = None,
    validation: NDArray[np.floating] | None = None,
    observers: Sequence[Observer] = (),
    checkpoint: Checkpointing | None = None,
    engine: str = "auto",
    device: str = "auto",
    ranks: Ranks = ALONE,
) -> Trained:
    """As `dagmm_model.training.loop.train`, with the phases that the settings ask for before it.

    Epochs are counted through all phases. Records of the early ones are `Epoch`, with the one term
    ``layer_1``, ``layer_2``, ... or ``autoencoder``. Layers are trained without sample weights, and
    not by several ranks, which is a SettingsError.
    """
    if settings.layer_epochs and not ranks.alone:
        refuse("layer_epochs", settings.layer_epochs, "0 where several ranks train together")
    if settings.epochs == 0:  # random weights, as a baseline
        settings = replace(settings, layer_epochs=0, autoencoder_epochs=0)
    layers = len(settings.encoder_widths)
    total = layers * settings.layer_epochs * len(seeds)
    total += settings.autoencoder_epochs + settings.epochs
    parameters = initialise(settings, x.shape[1], seeds, x)
    history: list[EpochLike] = []

    def numbered(term: str | None = None) -> Convert:
        before = len(history)

        def convert(record: Any) -> EpochLike:
            if term is None:
                counted: EpochLike = replace(record, epoch=before + record.epoch, epochs=total)
                return counted
            value = next(iter(record.terms.values()))
            return Epoch(before + record.epoch, total, {term: value}, record.seconds)

        return convert

    def watched(convert: Convert) -> list[Observer]:
        def told(record: Any) -> None:
            for observer in observers:
                observer(convert(record))

        return [told]

    if settings.layer_epochs:
        from dagmm_model.training.layers import train_layer

        for s, seed in enumerate(seeds):
            member = {name: value[s] for name, value in parameters.items()}
            rows = x
            for i in range(layers):
                convert = numbered(f"layer_{i + 1}")
                place = _folder(checkpoint, f"layer_{s}_{i}")
                rows, records = train_layer(
                    rows, settings, seed, i, member, watched(convert), place, device
                )
                history += map(convert, records)
            for name, value in member.items():
                parameters[name][s] = value
    rest: dict[str, Any] = {
        "sample_weight": sample_weight,
        "engine": engine,
        "device": device,
        "ranks": ranks,
    }
    if settings.autoencoder_epochs:
        convert = numbered("autoencoder")
        first = train(
            x,
            _autoencoder(settings),
            seeds,
            start=parameters,
            observers=watched(convert),
            checkpoint=_folder(checkpoint, "autoencoder"),
            **rest,
        )
        parameters = first.parameters
        history += map(convert, first.history)
    convert, before = numbered(), len(history)
    trained = train(
        x,
        settings,
        seeds,
        start=parameters,
        validation=validation,
        observers=watched(convert),
        checkpoint=checkpoint,
        **rest,
    )
    kept = tuple(before + epoch for epoch in trained.kept)
    return replace(trained, history=(*history, *map(convert, trained.history)), kept=kept)


def _autoencoder(settings: DagmmSettings) -> DagmmSettings:
    """The settings of the phase that trains the compression network by itself."""
    return replace(
        settings,
        epochs=settings.autoencoder_epochs,
        lambda_reconstruction=1.0,
        lambda_energy=0.0,
        lambda_penalty=0.0,
        freeze_compression=False,
        early_stopping=None,
        keep_best=False,
    )


def _folder(checkpoint: Checkpointing | None, name: str) -> Checkpointing | None:
    if checkpoint is None:
        return None
    return replace(checkpoint, folder=checkpoint.folder / name)
