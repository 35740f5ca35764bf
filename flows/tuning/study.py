"""A search of settings: Optuna proposes, rankings of held-out rows judge, MLflow keeps the trials.

A trial is fitted and ranked on several folds; one that is worse than most after a fold is pruned.
The study is a journal on disk: the same command goes on with it, whatever killed it.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from dagmm_model.detectors.catalogue import make_detector
from flows.common.config import DetectorConfig
from flows.pipeline.ranking import Rankable, Ranking
from flows.tuning.space import space_of

NAME = "tune"
FOLDS = 3
AS_IT_IS = "as it is"
"""Attribute of the first trial, which is the preset without a change."""
FAILED = "failed"
"""Attribute with the reason why a trial has no figure."""


@dataclass(frozen=True)
class Outcome:
    """What a search has found so far.

    Attributes:
        trials: Ended ones, in their order.
        before: Average precision of the preset as it is, or None where that failed.
        best: The best of all that were not pruned; None where all failed.
    """

    trials: tuple[FrozenTrial, ...]
    before: float | None
    best: FrozenTrial | None

    @property
    def settings(self) -> dict[str, Any]:
        """What differs from the preset in the best trial; nothing where the preset is best."""
        return {} if self.best is None else dict(self.best.params)


def search(
    folder: Path,
    detector: DetectorConfig,
    rows: Rankable,
    seed: int,
    trials: int,
    minutes: float | None,
    ended: Callable[[FrozenTrial], None],
) -> Outcome:
    """Run trials until there are as many, or the time is over; those of earlier calls count.

    Args:
        folder: Of the journal.
        detector: Whose settings are searched; its own settings are the same in every trial.
        rows: Rows that neither calibrate nor judge, with anomalies enough.
        seed: Of folds, detectors and proposals.
        trials: How many, those of earlier calls among them.
        minutes: After which no trial is started.
        ended: Told of each trial, also of those that an earlier call had not told.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    # A killed call has drawn some numbers already: the same seed would propose the same again.
    known = NAME in optuna.get_all_study_names(storage)
    done = len(optuna.load_study(study_name=NAME, storage=storage).trials) if known else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed + done, multivariate=True)
    study = optuna.create_study(
        study_name=NAME,
        storage=storage,
        direction="maximize",
        sampler=sampler,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
        load_if_exists=True,
    )
    for trial in study.get_trials(states=(TrialState.RUNNING,)):  # of a call that was killed
        study.tell(trial.number, state=TrialState.FAIL)
    for trial in _ended(study):
        ended(trial)
    space = space_of(detector.name, detector.preset)
    space = {name: where for name, where in space.items() if name not in detector.settings}
    folds = [rows.ranking(seed + fold) for fold in range(FOLDS)]
    deadline = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    while len(_ended(study)) < trials and time.monotonic() < deadline:
        first = not any(AS_IT_IS in trial.user_attrs for trial in _ended(study))
        trial = study.ask({} if first else space)
        if first:
            trial.set_user_attr(AS_IT_IS, True)
        made = partial(
            make_detector,
            detector.name,
            detector.preset,
            seed,
            **{**detector.settings, **trial.params},
        )
        try:
            study.tell(trial, _measured(made, folds, trial, prunes=not first))
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
        except Exception as error:  # a detector may fail in any way; the others go on
            trial.set_user_attr(FAILED, f"{type(error).__name__}: {error}"[:2000])
            study.tell(trial, state=TrialState.FAIL)
        ended(_ended(study)[-1])
    return _outcome(study)


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that have come to their own end; one that was killed has no say."""
    ended = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    return [t for t in ended if t.state != TrialState.FAIL or FAILED in t.user_attrs]


def _measured(
    made: Callable[[], Any], folds: Sequence[Ranking], trial: Trial, *, prunes: bool
) -> float:
    """Mean average precision over the folds.

    Raises:
        TrialPruned: It is worse than most after a fold.
    """
    figures: list[float] = []
    for step, fold in enumerate(folds):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            energies = made().fit(fold.fitted).energy(fold.ranked)
        figures.append(fold.figures(energies)[0])
        trial.report(float(np.mean(figures)), step)
        if prunes and step + 1 < len(folds) and trial.should_prune():
            raise optuna.TrialPruned
    return float(np.mean(figures))


def _outcome(study: optuna.Study) -> Outcome:
    ended = tuple(_ended(study))
    complete = [trial for trial in ended if trial.state == TrialState.COMPLETE]
    first = [trial.value for trial in complete if AS_IT_IS in trial.user_attrs]
    # Of equals the first: the preset before anything that was proposed.
    best = max(complete, key=lambda trial: trial.value or 0.0, default=None)
    return Outcome(ended, first[0] if first else None, best)
