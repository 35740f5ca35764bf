"""Trainings in phases: layers by themselves, the autoencoder by itself, then the objective.

Each phase is a training of its own with a checkpoint folder of its own, which a finished phase
leaves behind: a run that was killed finds the phases before again, and goes on in the last one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.base.settings import refuse
from dagmm_model.networks.network import initialise
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.training.epochs import USUAL, Epoch, EpochLike, Execution
from dagmm_model.training.loop import Trained, train

Convert = Callable[[Any], EpochLike]


def train_in_phases(
    x: NDArray[np.float32],
    settings: DagmmSettings,
    seeds: Sequence[int],
    how: Execution = USUAL,
    *,
    sample_weight: Float | None = None,
    validation: NDArray[np.floating] | None = None,
) -> Trained:
    """As `dagmm_model.training.loop.train`, with the phases that the settings ask for before it.

    Epochs are counted through all phases. Records of the early ones are `Epoch`, with the one term
    ``layer_1``, ``layer_2``, ... or ``autoencoder``. Layers are trained without sample weights, and
    not by several ranks, which is a SettingsError.
    """
    if settings.layer_epochs and not how.ranks.alone:
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

    def phase(convert: Convert, name: str = "") -> Execution:
        def told(record: Any) -> None:
            for observer in how.observers:
                observer(convert(record))

        place = how.checkpoint
        if place is not None:
            place = replace(place, folder=place.folder / name)
        return replace(how, observers=[told], checkpoint=place)

    if settings.layer_epochs:
        from dagmm_model.training.layerwise import train_layer

        for s, seed in enumerate(seeds):
            member = {name: value[s] for name, value in parameters.items()}
            rows = x
            for i in range(layers):
                convert = numbered(f"layer_{i + 1}")
                run = phase(convert, f"layer_{s}_{i}")
                rows, records = train_layer(rows, settings, seed, i, member, run)
                history += map(convert, records)
            for name, value in member.items():
                parameters[name][s] = value
    if settings.autoencoder_epochs:
        convert = numbered("autoencoder")
        alone, run = _autoencoder(settings), phase(convert, "autoencoder")
        first = train(x, alone, seeds, run, start=parameters, sample_weight=sample_weight)
        parameters = first.parameters
        history += map(convert, first.history)
    convert, before = numbered(), len(history)
    trained = train(
        x,
        settings,
        seeds,
        phase(convert),
        start=parameters,
        sample_weight=sample_weight,
        validation=validation,
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
