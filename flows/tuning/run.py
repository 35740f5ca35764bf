"""`dagmm tune` from the table to the command that trains the best settings."""

import hashlib
import json
import shlex
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState

from data_checks.contract.model import load_contract
from flows.common import progress
from flows.common.config import TrainConfig
from flows.common.errors import UsageError, Verdict
from flows.common.settings import Settings
from flows.common.value_types import Frozen
from flows.pipeline.known_labels import unjudged
from flows.pipeline.ranking import rankable
from flows.stages.run import TrainRun
from flows.stages.table import STAGES, perform
from flows.stages.workspace import alone, open_run
from flows.tracking import tracking
from flows.tracking.ending import opened
from flows.tuning.space import space_of
from flows.tuning.study import FOLDS, search
from flows.tuning.tracking import TuneRuns


class TuneResult(Frozen):
    """What a search has found, and what to do with it."""

    dataset: str
    detector: str
    trials: int
    pruned: int
    failed: int
    before: float | None
    best: float | None
    settings: dict[str, Any]
    command: str
    run_url: str

    def text(self) -> str:
        """What the terminal shows."""
        counts = f"{self.trials} ended, {self.pruned} of them pruned, {self.failed} failed"
        lines = [f"Trials     {counts}"]
        lines.append(f"Preset     average precision {_figure(self.before)} on held-out rows")
        chosen = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        lines.append(f"Best       average precision {_figure(self.best)}: {chosen or 'the preset'}")
        lines.append(
            "           the best of many is a little too good here; the test rows judge it"
        )
        return "\n".join([*lines, f"MLflow     {self.run_url}", f"Next       {self.command}"])


def tune(config: TrainConfig, settings: Settings, trials: int, minutes: float | None) -> TuneResult:
    """Search the settings of a detector on rows that neither calibrate nor judge.

    Raises:
        UsageError: No labels to rank by, nothing to tune, or another search of the same is running.
        Verdict: The table fails its contract.
    """
    contract, detector = load_contract(config.dataset), config.detector
    space = space_of(detector.name, detector.preset)
    key = {"tune": config.digest, "contract": contract.digest}
    with open_run(settings.workspace, key) as folder:
        run = TrainRun(folder, contract, config, settings)
        run = perform(STAGES["validate"], perform(STAGES["ingest"], run))
        validated = run.record("validate")
        if not validated.passed:
            raise Verdict(validated.message)
        everything = unjudged(validated)
        run = perform(STAGES["split"], run.having("verdicts", everything))
        parts = run.record("split")
        rows = rankable(run, everything, parts)
    if not rows.measurable:
        raise UsageError(
            f"nothing to tune by: {rows.missing}. Without labels no figure tells good settings "
            "from bad ones: made-up anomalies mislead (docs/decisions/0008); train "
            "the recommended settings, which need none"
        )
    decided = [parts.train_sha256, parts.test_sha256, config.model_dump_json(), str(FOLDS)]
    decided += [f"{name}{distribution_to_json(where)}" for name, where in space.items()]
    identity = hashlib.sha256(json.dumps(decided).encode()).hexdigest()[:16]
    place = settings.workspace / "tune" / identity
    place.mkdir(parents=True, exist_ok=True)
    client = tracking.connect(settings)
    with alone(place / "lock", "the same search is running in another process; let it end"):
        runs = TuneRuns(client, settings, contract.name, detector.name, identity)
        with opened(client, runs.open), progress.bar("trials") as show:

            def ended(trial: FrozenTrial) -> None:
                runs.log(trial)
                figure = "" if trial.value is None else f"{trial.value:.4f}"
                show(min(trial.number + 1, trials), trials, f"{trial.state.name.lower()} {figure}")

            outcome = search(place, detector, rows, config.seed, trials, minutes, ended)
            command = _command(config, outcome.settings)
            runs.log_outcome(outcome, command)
    states = [trial.state for trial in outcome.trials]
    return TuneResult(
        dataset=contract.name,
        detector=detector.name,
        trials=len(states),
        pruned=states.count(TrialState.PRUNED),
        failed=states.count(TrialState.FAIL),
        before=outcome.before,
        best=None if outcome.best is None else outcome.best.value,
        settings=outcome.settings,
        command=command,
        run_url=runs.url,
    )


def _command(config: TrainConfig, settings: dict[str, Any]) -> str:
    """The command that trains what was found."""
    parts = ["dagmm", "train", config.dataset]
    if config.data is not None:
        parts += ["--data", config.data]
    if config.detector.name != TrainConfig().detector.name:
        parts += ["--detector", config.detector.name]
    chosen = {
        f"detector.settings.{n}": v for n, v in {**config.detector.settings, **settings}.items()
    }
    others = {"detector.preset": config.detector.preset, "seed": config.seed}
    defaults = {"detector.preset": "recommended", "seed": 0}
    for name, value in ({k: v for k, v in others.items() if v != defaults[k]} | chosen).items():
        parts += ["--set", f"{name}={value}"]
    return shlex.join(parts)


def _figure(value: float | None) -> str:
    return "not measured (failed)" if value is None else f"{value:.4f}"
