"""The search of settings: what is searched, that it resumes, and what it refuses."""

import json

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from flows.common.config import DetectorConfig
from flows.common.errors import UsageError
from flows.pipeline.ranking import Rankable
from flows.tuning import study
from flows.tuning.space import SPACE, space_of
from flows.tuning.study import AS_IT_IS, FOLDS, search


@pytest.fixture(scope="module")
def rows():
    """Anomalies inside a ring: one neighbour tells them apart, fifty do not."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 80)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.05 * rng.normal(size=(80, 2))
    return Rankable(ring, 0.3 * rng.normal(size=(20, 2)), share=4.0)


def _search(folder, rows, trials, name="knn", ended=lambda trial: None, minutes=None, **settings):
    return search(folder, DetectorConfig(name=name, settings=settings), rows, 0, trials, minutes,
                  ended)  # fmt: skip


def test_better_settings_than_the_presets_are_found(tmp_path, rows):
    bad = {"limit": 64}
    outcome = _search(tmp_path, rows, 12, **bad)
    assert len(outcome.trials) == 12
    assert outcome.before is not None
    assert outcome.best.value >= outcome.before
    assert set(outcome.settings) <= {"neighbours"}
    first = outcome.trials[0]
    assert first.params == {}
    assert AS_IT_IS in first.user_attrs
    assert len(first.intermediate_values) == FOLDS


def test_a_search_goes_on_where_it_stopped(tmp_path, rows, monkeypatch):
    told = []
    _search(tmp_path, rows, 3, ended=told.append)

    def killed(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(study, "_measured", killed)
        with pytest.raises(KeyboardInterrupt):
            _search(tmp_path, rows, 5)
    again = []
    outcome = _search(tmp_path, rows, 5, ended=again.append)
    assert len(outcome.trials) == 5
    # Those of the first call are told again, so that nothing is missing where it was killed.
    assert [t.number for t in again[:3]] == [t.number for t in told]
    assert sum(AS_IT_IS in t.user_attrs for t in outcome.trials) == 1
    assert len({json.dumps(t.params) for t in outcome.trials}) >= 3


def test_no_trial_is_started_after_the_time(tmp_path, rows):
    assert _search(tmp_path, rows, 5, minutes=1e-9).trials == ()


def test_a_trial_that_fails_is_no_end(tmp_path, rows):
    few = Rankable(rows.normal[:30], rows.anomalous, 1.5)  # 24 rows: too few for many neighbours
    outcome = _search(tmp_path, few, 12)
    assert outcome.best is not None
    failed = [t for t in outcome.trials if t.state == TrialState.FAIL]
    assert all("NotEnoughRowsError" in t.user_attrs["failed"] for t in failed)


def test_what_is_given_is_not_searched(tmp_path, rows):
    outcome = _search(tmp_path, rows, 4, name="gmm", components=2)
    assert all("components" not in trial.params for trial in outcome.trials)


def test_the_space_is_what_the_detector_has():
    assert set(space_of("knn", "recommended")) == {"neighbours"}
    assert {"learning_rate", "n_components"} <= set(space_of("dagmm", "recommended"))
    assert "lambda_energy" not in space_of("pae", "recommended")  # what makes it an autoencoder
    with pytest.raises(UsageError, match="no setting to tune"):
        space_of("mahalanobis", "recommended")
    assert all(isinstance(d, optuna.distributions.BaseDistribution) for d in SPACE.values())


def test_trials_are_nested_runs_and_the_end_is_a_command(dagmm, registry):
    arguments = ("tune", "wdbc", "--detector", "knn", "--trials")
    first = dagmm(*arguments, "2", "--json")
    assert first.code == 0, first.err
    more = dagmm(*arguments, "4", "--json")
    assert (first.json["trials"], more.json["trials"]) == (2, 4)
    assert more.json["command"].startswith("dagmm train wdbc --detector knn")
    experiment = registry.get_experiment_by_name("dagmm-wdbc").experiment_id
    runs = registry.search_runs([experiment])
    (parent,) = (run for run in runs if "dagmm.tune" in run.data.tags)
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert sorted(run.data.tags["dagmm.trial"] for run in children) == ["0", "1", "2", "3"]
    assert parent.info.status == "FINISHED"
    best = max(run.data.metrics["validation/average_precision"] for run in children)
    assert more.json["best"] == pytest.approx(best)
    assert parent.data.tags["dagmm.next"] == more.json["command"]


def test_without_labels_it_refuses_with_the_reason(dagmm, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGMM_DATA_DIR", str(tmp_path))
    rng = np.random.default_rng(0)
    lines = ["a,b", *(f"{a:.6f},{b:.6f}" for a, b in rng.normal(size=(60, 2)))]
    (tmp_path / "pumps.csv").write_text("\n".join(lines) + "\n")
    contract = tmp_path / "pumps.yaml"
    contract.write_text(
        "name: pumps\nsource: {kind: csv, file: pumps.csv}\n"
        "columns:\n  - {name: a, type: numeric}\n  - {name: b, type: numeric}\n"
    )
    outcome = dagmm("tune", contract, "--detector", "knn")
    assert outcome.code == 2
    assert "0 labelled anomalies" in outcome.err
    assert "decisions/0008" in outcome.err
