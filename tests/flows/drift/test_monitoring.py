"""Drift of a production model: what is found, what is written down, what it starts."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer

from flows.common.errors import UsageError
from flows.common.settings import Settings
from flows.drift import record as drift_record
from flows.drift.comparison import MonitorPolicy, alert_p_value, judge_window, policy_from
from flows.drift.window import Window
from flows.promotion.gates.score_drift import compare_scores, energy_bins
from flows.promotion.version import evidence
from flows.scoring.run import score
from flows.scoring.version import read_bundle, version_folder
from tests.waiting import until

NAME = "dagmm-wdbc"


@pytest.fixture
def settings(two_versions, monkeypatch) -> Settings:
    monkeypatch.setenv("DAGMM_PROGRESS", "off")
    return Settings()


def normal_rows() -> pd.DataFrame:
    data = load_breast_cancer(as_frame=True)
    return data.data[data.target == 1].sample(200, random_state=1)


def moved_rows() -> pd.DataFrame:
    rows = normal_rows()
    rows["worst texture"] += 10
    return rows


@pytest.fixture
def calm(tmp_path) -> Path:
    normal_rows().to_parquet(tmp_path / "calm.parquet")
    return tmp_path / "calm.parquet"


@pytest.fixture
def moved(tmp_path) -> Path:
    moved_rows().to_parquet(tmp_path / "moved.parquet")
    return tmp_path / "moved.parquet"


def test_the_command_says_what_moved_and_exits_with_one(dagmm, two_versions, calm, moved):
    quiet = dagmm("monitor", NAME, "--data", calm)
    assert quiet.code == 0, quiet.err
    assert "Verdict    stable" in quiet.out
    actual = dagmm("monitor", NAME, "--data", moved, "--json")
    assert actual.code == 1
    report = actual.json["report"]
    assert report["verdict"] == "critical"
    assert report["columns"][0]["column"] == "worst texture"
    assert [c["verdict"] for c in report["columns"]].count("stable") == 29


def test_all_checks_of_a_model_are_steps_of_one_run(settings, calm, moved, registry):
    first = drift_record.monitor(f"{NAME}@production", settings, data=str(calm))
    second = drift_record.monitor(NAME, settings, data=str(moved))
    assert (first.run_id, first.step, second.step) == (second.run_id, 1, 2)
    history = registry.get_metric_history(first.run_id, "psi/worst texture")
    assert [metric.step for metric in history] == [1, 2]
    assert history[1].value > 1 > history[0].value
    data = registry.get_run(first.run_id).data
    assert data.metrics["version"] == 2
    assert data.tags["dagmm.verdict"] == "critical"
    folder = Path(registry.download_artifacts(first.run_id, "reports"))
    names = {path.name for path in folder.iterdir()}
    assert {"latest.html", Path(first.page).name, Path(second.page).name} <= names
    page = (folder / "latest.html").read_text()
    assert page == (folder / Path(second.page).name).read_text()
    assert "worst texture" in page
    assert 'src="http' not in page, "the page needs no network"


def test_a_result_of_scoring_is_a_window_of_energies(settings, calm, tmp_path):
    whole = drift_record.monitor(NAME, settings, data=str(calm))
    for suffix in ("parquet", "csv"):
        out = tmp_path / f"scored.{suffix}"
        score(str(calm), str(out), f"models:/{NAME}@production", settings)
        checked = drift_record.monitor(NAME, settings, scored=str(out))
        for figure in ("rows", "energy/psi", "energy/ks", "alerts/rate"):
            ours, theirs = checked.report.figures[figure], whole.report.figures[figure]
            assert np.isclose(ours, theirs), figure
        assert not checked.report.columns
    score(str(calm), str(out), f"models:/{NAME}/1", settings)
    with pytest.raises(UsageError, match=r"scored by models:/dagmm-wdbc/1"):
        drift_record.monitor(NAME, settings, scored=str(out))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "--data or a result"),
        ({"data": "a", "scored": "b"}, "--data or a result"),
        ({"scored": "nothing.parquet"}, "no such file"),
    ],
)
def test_a_window_that_is_none(settings, arguments, message):
    with pytest.raises(UsageError, match=message):
        drift_record.monitor(NAME, settings, **arguments)


def test_no_model_and_no_profile_are_said(settings, calm, monkeypatch):
    with pytest.raises(UsageError, match="dagmm-wdbc"):
        drift_record.monitor("dagmm-other", settings, data=str(calm))
    with pytest.raises(UsageError, match="no version 99"):
        drift_record.monitor(f"{NAME}/99", settings, data=str(calm))
    monkeypatch.setattr(evidence, "REFERENCE", "older.json")
    with pytest.raises(UsageError, match="without a profile"):
        drift_record.monitor(NAME, settings, data=str(calm))


def test_rows_that_cannot_be_scored_are_drift_too(settings, tmp_path):
    rows = normal_rows().astype(object)
    rows.iloc[:30, 0] = "oops"
    rows.to_csv(tmp_path / "rows.csv", index=False)
    report = drift_record.monitor(NAME, settings, data=str(tmp_path / "rows.csv")).report
    assert report.figures["rejected_share"] == 0.15
    assert report.verdict == "critical"
    assert "15.00% of the rows cannot be scored" in report.reasons[0]


def test_too_few_rows_are_not_judged(dagmm, two_versions, tmp_path, registry):
    moved_rows()[:20].to_parquet(tmp_path / "few.parquet")
    outcome = dagmm("monitor", NAME, "--data", tmp_path / "few.parquet", "--json")
    assert outcome.code == 0
    checked = json.loads(outcome.out)
    assert checked["report"]["verdict"] == "too few rows"
    run = registry.get_run(checked["run_id"])
    steps = registry.get_metric_history(checked["run_id"], "compared")
    assert {m.step: m.value for m in steps}[checked["step"]] == 0
    message = run.data.tags["mlflow.note.content"]
    assert message.startswith("**too few rows**")
    assert "20 scored rows, 50 needed: not compared" in message
    assert f"/artifacts/{checked['page']}?workflowType=machine_learning)" in message
    page = Path(registry.download_artifacts(checked["run_id"], checked["page"], str(tmp_path)))
    assert "– not compared</span>" in page.read_text(encoding="utf-8")


@pytest.fixture
def version(settings):
    with version_folder(f"models:/{NAME}/2", settings) as folder:
        return read_bundle(folder)


def window(energies, **changes) -> Window:
    values = {"counts": None, "rejected": 0, "unseen": {}, "newest": None, "source": "here"}
    return Window(energies=np.asarray(energies), **{**values, **changes})


def test_ages_are_judged_by_the_policy(version):
    bundle, contract = version
    now = time.time()
    calm = window(bundle.calibration, newest=now - 7200)
    policy = MonitorPolicy(max_data_age_hours=1, max_model_age_days=10)
    report = judge_window(calm, bundle, contract, None, policy, "models:/m/1", now - 11 * 86_400)
    verdicts = {finding.name: finding.verdict for finding in report.findings}
    assert verdicts["freshness"] == "critical"
    assert verdicts["model age"] == "warning"
    assert verdicts["energies"] == verdicts["alert rate"] == "stable"
    assert np.isclose(report.figures["data_age_hours"], 2, atol=0.01)


def test_more_and_fewer_alerts_are_both_noticed(version):
    bundle, contract = version
    threshold = bundle.threshold.value
    policy, now = MonitorPolicy(), time.time()

    def verdict(energies) -> str:
        report = judge_window(window(energies), bundle, contract, None, policy, "models:/m/1", now)
        return next(f.verdict for f in report.findings if f.name == "alert rate")

    calibration = np.tile(bundle.calibration, 100)
    assert verdict(calibration) == "stable"
    assert verdict(np.where(np.arange(len(calibration)) % 2, threshold + 1, calibration)) == (
        "critical"
    )
    assert verdict(np.full(5000, threshold - 1)) == "warning"


def test_the_alert_test_keeps_its_level_with_few_calibration_rows():
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(500):
        calibration = np.sort(rng.normal(size=60))
        energies = rng.normal(size=300)
        threshold = calibration[56]
        p_values.append(
            alert_p_value(int((energies > threshold).sum()), 300, calibration, threshold)
        )
    for level in (0.2, 0.05, 0.01):
        assert np.mean(np.array(p_values) <= level) <= level + 4 * np.sqrt(level / 500)
    assert np.mean(np.array(p_values) <= 0.2) > 0.1


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.lists(st.floats(-9, 9), min_size=1))
def test_every_energy_has_a_bin(calibration, energies):
    before, now = energy_bins(np.array(calibration), np.array(energies))
    assert (before.sum(), now.sum()) == (len(calibration), len(energies))
    assert len(before) == len(now)


def test_a_change_of_scale_moves_the_energies_but_not_their_ranks():
    energies = np.random.default_rng(0).normal(size=1000)
    same = compare_scores(energies, energies)
    assert (same.psi, same.distance) == (0, 0)
    assert np.isclose(same.ranks, 1)
    scaled = compare_scores(3 * energies, energies)
    assert scaled.psi > 0.1
    assert np.isclose(scaled.ranks, 1)
    assert compare_scores(-energies, energies).ranks < -0.99


@pytest.mark.parametrize("text", ["level", "level=2", "levl=0.1", "=1", "min_rows=some", "level=["])
def test_policies_that_cannot_be_used(text):
    with pytest.raises(UsageError, match="--set"):
        policy_from([text])
    assert policy_from(["level=0.001", "min_rows=5"]).min_rows == 5


def test_the_flow_leaves_an_artifact_and_an_event_and_retrains_no_more_than_allowed(
    settings, moved, ask, registry
):
    from flows.common.config import TrainConfig
    from flows.orchestration import monitor_flow as monitoring

    retraining = monitoring.Retraining(config=TrainConfig(), min_hours=1)
    first = monitoring.monitor(NAME, data=str(moved))
    assert (first.verdict, first.retrained) == ("critical", None)
    registry.set_tag(first.run_id, monitoring.RETRAINED_TAG, str(time.time() - 1800))
    second = monitoring.monitor(NAME, data=str(moved), retraining=retraining)
    assert second.retrained is None
    assert "0.5 hours ago" in second.not_retrained
    artifacts = ask("/artifacts/filter", {})
    keys = {f"drift-{NAME}", f"drift-report-{NAME}"}
    assert keys <= {artifact["key"] for artifact in artifacts}
    events = until(lambda: _drift_events(ask), pause=0.5)
    assert events[0]["resource"]["prefect.resource.id"] == f"dagmm.model.{NAME}"
    assert events[0]["payload"]["verdict"] == "critical"


def test_of_claims_at_once_one_wins(settings, calm, prefect_server):
    from flows.orchestration import monitor_flow as monitoring

    run_id = drift_record.monitor(NAME, settings, data=str(calm)).run_id
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: monitoring.claim.fn(NAME, run_id, 1.0), range(4)))
    assert answers.count("") == 1


@pytest.mark.slow
def test_a_drift_starts_a_training_whose_gates_decide(settings, moved, tmp_path, registry):
    from flows.common.config import TrainConfig
    from flows.orchestration import monitor_flow as monitoring

    config = TrainConfig.model_validate(
        {
            "seed": 7,
            "detector": {"settings": {"epochs": 5, "members": 1}},
            "promotion": {"serving_check": False, "min_roc_auc": 1.0},
        }
    )
    result = monitoring.monitor(
        NAME, data=str(moved), retraining=monitoring.Retraining(config=config)
    )
    assert result.retrained.registration.version == 3
    assert result.retrained.promotion.decision == "rejected"
    assert registry.get_registered_model(NAME).aliases["production"] in (2, "2")
    again = monitoring.monitor(
        NAME, data=str(moved), retraining=monitoring.Retraining(config=config)
    )
    assert again.retrained is None
    assert "24 required" in again.not_retrained


def _drift_events(ask) -> list:
    body = {"filter": {"event": {"name": ["dagmm.drift.found"]}}}
    return ask("/events/filter", body)["events"]
