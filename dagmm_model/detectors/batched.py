"""Several DAGMMs, each fitted on a table of its own, trained together where that can be.

Trainings of equal settings are members of one batched model: on a GPU a step of twenty members
takes little longer than one's. All rows lie one after another in the engine, each member's order is
shifted to its own, and a smaller batch is filled up with a row of zeros that weighs nothing. A
member's result is that of a training by itself but for rounding.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagmm_model.detectors.dagmm import DAGMM
from dagmm_model.engines.choice import device_for, make_engine, multiplications
from dagmm_model.networks.network import initialise
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.training.epochs import Execution, TrainingDiverged, run_epochs
from dagmm_model.training.feed import MemoryFeed, batch_plan
from dagmm_model.training.loop import MemberTraining, Trained, selects
from dagmm_model.training.phases import train_in_phases
from dagmm_model.training.records import EpochRecord


class _TablesTraining(MemberTraining):
    """A training with a record for each table, whose members lie side by side.

    Attributes:
        histories: the members of each table, and its records.
    """

    histories: list[tuple[slice, list[EpochRecord]]]

    def end_epoch(self, started: float) -> EpochRecord:
        """See `Training.end_epoch`; the first table's record."""
        seconds = (time.perf_counter() - started) / len(self.histories)
        for part, history in self.histories:
            history.append(self.progress.record(self.settings, None, seconds, part))
        first = self.histories[0][1][-1]
        self.progress.next_epoch(first)
        return first


def train_many(
    tables: Sequence[NDArray[np.float32]],
    settings: DagmmSettings,
    seeds: Sequence[Sequence[int]],
    how: Execution,
) -> list[Trained]:
    """As `dagmm_model.training.loop.train` for each table, in one model.

    Args:
        tables: ``(n, D)`` scaled rows each, of one width and as many steps an epoch.
        settings: of all; nothing that chooses an epoch.
        seeds: of each table's members.
        how: the training is run; of it the engine and the device count.

    Returns:
        One for each table. An epoch's seconds are its share.

    Raises:
        TrainingDiverged: a loss of some member is not finite.
    """
    members = [len(of) for of in seeds]
    flat = [seed for of in seeds for seed in of]
    width = tables[0].shape[1]
    rows = np.concatenate([*tables, np.zeros((1, width), np.float32)])
    weight = np.ones(len(rows))
    weight[-1] = 0.0
    bounds = [0, *accumulate(len(table) for table in tables)]
    sizes = np.repeat([len(table) for table in tables], members).tolist()
    starts = np.repeat(bounds[:-1], members).tolist()
    starting = [initialise(settings, width, of, x) for of, x in zip(seeds, tables, strict=True)]
    start = {name: np.concatenate([of[name] for of in starting]) for name in starting[0]}
    work = sum(multiplications(settings, n, width, 1) for n in sizes)
    chosen = device_for(how.engine, how.device, work)
    runner = make_engine(how.engine, chosen, rows, weight, start, settings)
    feed = MemoryFeed(sizes, settings.batch_size, starts=starts, empty=len(rows) - 1)
    training = _TablesTraining(runner, settings, flat, feed)
    ends = pairwise([0, *accumulate(members)])
    training.histories = [(slice(*both), []) for both in ends]
    run_epochs(training, None)
    parameters = runner.parameters()
    return [
        Trained(
            {name: value[part] for name, value in parameters.items()},
            tuple(history),
            runner.jitter[part],
            (len(history),) * (part.stop - part.start),
            chosen,
        )
        for part, history in training.histories
    ]


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
        first, settings = detectors[which[0]], ready[which[0]].settings
        how, trained = Execution(engine=first.engine, device=first.device), list[Trained]()
        phases = settings.layer_epochs or settings.autoencoder_epochs or settings.alternating
        if len(which) > 1 and not (phases or selects(settings)):
            rows, seeds = [ready[i].scaled for i in which], [ready[i].seeds for i in which]
            try:
                trained = train_many(rows, settings, seeds, how)
            except TrainingDiverged:
                trained = []  # by itself, each is told apart
        for place, i in enumerate(which):
            of = ready[i]
            one = trained[place] if trained else train_in_phases(
                of.scaled, settings, of.seeds, how, sample_weight=of.weight, validation=of.held
            )  # fmt: skip
            detectors[i]._finished(of, one)
