"""Several DAGMMs, each fitted on a table of its own, trained together where that can be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from numpy.typing import ArrayLike

from dagmm_model.detectors.dagmm import DAGMM
from dagmm_model.training.epochs import Execution, TrainingDiverged
from dagmm_model.training.feed import batch_plan
from dagmm_model.training.loop import Trained, selects
from dagmm_model.training.many import train_many
from dagmm_model.training.phases import train_in_phases


def fit_many(detectors: Sequence[DAGMM], tables: Sequence[ArrayLike]) -> None:
    """As ``detector.fit(table)`` for each, but for rounding.

    Trainings of equal settings and equally many steps an epoch are members of one batched model;
    others, and all of a group of which one diverges, are trained one after another.

    Args:
        detectors: unfitted.
        tables: ``(n, D)`` rows for each.

    Raises:
        ValueError: rows or settings that cannot be used.
        TrainingDiverged: a loss of one became infinite or NaN.
    """
    pairs = list(zip(detectors, tables, strict=True))
    ready = [detector._prepared(table) for detector, table in pairs]
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, (of, detector) in enumerate(zip(ready, detectors, strict=True)):
        steps, _ = batch_plan(len(of.scaled), of.settings.batch_size)
        groups[of.settings, of.scaled.shape[1], steps, detector.engine, detector.device].append(i)
    for which in groups.values():
        engine, device = detectors[which[0]].engine, detectors[which[0]].device
        settings, trained = ready[which[0]].settings, list[Trained]()
        phases = settings.layer_epochs or settings.autoencoder_epochs or settings.alternating
        if len(which) > 1 and not (phases or selects(settings)):
            rows, seeds = [ready[i].scaled for i in which], [ready[i].seeds for i in which]
            try:
                trained = train_many(rows, settings, seeds, engine=engine, device=device)
            except TrainingDiverged:
                trained = []  # by itself, each is told apart
        for place, i in enumerate(which):
            of, how = ready[i], Execution(engine=engine, device=device)
            one = trained[place] if trained else train_in_phases(
                of.scaled, settings, of.seeds, how, sample_weight=of.weight, validation=of.held
            )  # fmt: skip
            detectors[i]._finished(of, one)
