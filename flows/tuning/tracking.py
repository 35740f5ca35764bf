"""The MLflow side of a search: one parent run, found again by every call, a run for each trial."""

import getpass
import time

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient
from optuna.trial import FrozenTrial, TrialState

from flows.common.settings import Settings
from flows.tracking import runs, tracking
from flows.tracking.queries import equals, pages
from flows.tuning.study import AS_IT_IS, FAILED, Outcome

PARENT_TAG, SEARCH_TAG, TRIAL_TAG = "mlflow.parentRunId", "dagmm.tune", "dagmm.trial"
FIGURE = "validation/average_precision"
STATES = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}


class TuneRuns:
    """The runs of a search."""

    def __init__(
        self, client: MlflowClient, settings: Settings, dataset: str, detector: str, identity: str
    ) -> None:
        self._client = client
        self._experiment = tracking.experiment_id(client, settings, f"dagmm-{dataset}")
        self._settings, self._name = settings, f"tune-{detector}"
        self._tags = {
            SEARCH_TAG: identity,
            "dagmm.dataset": dataset,
            "dagmm.detector": detector,
        }
        self.parent = ""
        self._logged: set[int] = set()

    @property
    def url(self) -> str:
        """Page of the parent."""
        return tracking.run_url(self._settings, self._experiment, self.parent)

    def open(self) -> str:
        """The parent run: of an earlier search of the same, or a new one."""
        self.parent = runs.begin(
            self._client, self._experiment, self._name, "dagmm tune", self._tags, SEARCH_TAG
        )
        query = equals(f"tags.`{PARENT_TAG}`", self.parent)
        self._logged = {
            int(run.data.tags[TRIAL_TAG])
            for run in pages(self._client.search_runs, [self._experiment], query)
            if run.info.status != "RUNNING"
        }
        return self.parent

    def log(self, trial: FrozenTrial) -> None:
        """Write a trial's run, complete; once, whoever calls again."""
        if trial.number in self._logged:
            return
        started, ended = (
            int(1000 * (time.time() if moment is None else moment.timestamp()))
            for moment in (trial.datetime_start, trial.datetime_complete)
        )
        what = "preset" if AS_IT_IS in trial.user_attrs else f"trial-{trial.number}"
        tags = {
            PARENT_TAG: self.parent,
            TRIAL_TAG: str(trial.number),
            "mlflow.user": getpass.getuser(),
        }
        run_id = self._client.create_run(
            self._experiment, start_time=started, tags=tags, run_name=what
        ).info.run_id
        steps = sorted(trial.intermediate_values.items())
        failed = trial.user_attrs.get(FAILED, "")
        self._client.log_batch(
            run_id,
            metrics=[Metric(FIGURE, value, ended, step) for step, value in steps],
            params=[Param(name, str(value)) for name, value in trial.params.items()],
            tags=[RunTag("dagmm.error", failed)] if failed else [],
        )
        self._client.set_terminated(run_id, STATES[trial.state], ended)
        self._logged.add(trial.number)

    def log_outcome(self, outcome: Outcome, command: str) -> None:
        """The best trial, and how to train it, on the parent run."""
        best = None if outcome.best is None else outcome.best.value
        figures = {FIGURE: best, f"{FIGURE}_before": outcome.before}
        counts = {"trials": float(len(outcome.trials))}
        tracking.log_metrics(self._client, self.parent, figures | counts)
        tracking.set_tags(self._client, self.parent, {"dagmm.next": command[:5000]})
