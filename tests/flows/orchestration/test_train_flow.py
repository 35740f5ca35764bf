"""The main job, seen from outside: the command, then what MLflow, the registry and Prefect hold."""

import json
from base64 import b64encode
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from flows.common.settings import Settings
from flows.tracking import pages, tracking
from tests.flows.conftest import FAST, production


@pytest.fixture
def trained(two_versions, two_trainings):
    """What the command said of version 2, and its store."""
    return two_trainings[1][1]


def test_one_command_ends_with_a_promoted_version_and_everything_logged(trained, registry, home):
    run = registry.get_run(trained["registration"]["run_id"])
    assert run.info.status == "FINISHED"
    assert {"loss/total", "loss/reconstruction", "loss/energy", "loss/penalty"} <= set(
        run.data.metrics
    )
    assert len(registry.get_metric_history(run.info.run_id, "loss/total")) == 5
    assert {"mixture/min_phi", "training/gain"} <= set(run.data.metrics)
    assert len(run.data.metrics) < 25, sorted(run.data.metrics)
    for name in ("deployed/roc_auc", "paper/f1", "training/gain", "threshold"):
        assert len(registry.get_metric_history(run.info.run_id, name)) == 1, name
    assert not [name for name in run.data.tags if "sha256" in name]
    assert run.data.params["detector.settings.epochs"] == "5"
    version = registry.get_model_version("dagmm-wdbc", "2")
    assert len(version.tags["dagmm.evidence_sha256"]) == 64
    named = {"dagmm.evidence_sha256", "dagmm.detector", "dagmm.decision"}
    assert named <= set(version.tags) <= {*named, "dagmm.retention"}
    model = registry.get_logged_model(trained["registration"]["model_id"])
    assert '"version": 2' in model.tags["mlflow.modelVersions"]
    assert run.data.tags["dagmm.device"] in {"cpu", "cuda"}
    assert run.data.tags["dagmm.device.reason"]
    assert len(run.data.tags["mlflow.source.git.commit"]) >= 7

    names = {item.path for item in registry.list_artifacts(run.info.run_id)}
    assert {"figures", "mixture", "data_checks", "evaluation", "evidence.json"} <= names
    figures = {Path(item.path).stem for item in registry.list_artifacts(run.info.run_id, "figures")}
    assert figures == {"losses", "energies", "latent", "roc_precision_recall", "what_if", "all"}

    page = Path(trained["report"]).read_text()
    for name in ("losses", "energies", "roc_precision_recall", "what_if"):  # drawn once
        picture = Path(registry.download_artifacts(run.info.run_id, f"figures/{name}.png"))
        assert b64encode(picture.read_bytes()).decode() in page, name

    contexts = {
        tag.value
        for used in run.inputs.dataset_inputs
        for tag in used.tags
        if tag.key == "mlflow.data.context"
    }
    assert contexts == {"training", "validation", "evaluation"}
    assert production(registry) == 2
    assert "ROC AUC" in version.description
    assert "floor" in version.description


def test_the_served_model_gives_from_raw_rows_what_training_recorded(trained, home, registry):
    tracking.connect(Settings())  # an earlier test may have left MLflow at another store
    model = mlflow.pyfunc.load_model("models:/dagmm-wdbc@production")
    run_id = trained["registration"]["run_id"]
    rows = pd.read_parquet(registry.download_artifacts(run_id, "evaluation/test_rows.parquet"))
    recorded = pd.read_parquet(
        registry.download_artifacts(run_id, "evaluation/test_energies.parquet")
    )
    features = [column["name"] for column in model.metadata.metadata["inputs"]]
    verdict = model.predict(rows[features])
    assert list(verdict.columns) == ["energy", "p_value", "is_anomaly", "threshold"]
    assert np.array_equal(verdict["energy"], recorded["energy"])
    assert (verdict["is_anomaly"] == (verdict["energy"] > verdict["threshold"])).all()
    one_by_one = pd.concat([model.predict(rows[features].iloc[[i]]) for i in range(5)])
    assert np.allclose(one_by_one["energy"], recorded["energy"][:5], rtol=1e-10)


def test_no_pickle_travels_with_the_model(trained, registry):
    tracking.connect(Settings())  # an earlier test may have left MLflow at another store
    version = registry.get_model_version("dagmm-wdbc", "2")
    folder = Path(mlflow.artifacts.download_artifacts(version.source))
    kinds = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert not kinds & {".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin"}
    assert ".safetensors" in kinds


def test_training_rows_are_normal_and_disjoint_from_the_test_rows(trained, home):
    parts = pd.read_parquet(trained["evidence"]["split"]["parts"])
    valid = pd.read_parquet(trained["evidence"]["validation"]["path"])
    fitted_on = parts.position[parts.part.isin(["train", "validation"])]
    assert (valid["__anomaly__"].iloc[fitted_on] == 0).all()
    assert not parts.position.duplicated().any()
    assert len(parts) == len(valid)


@pytest.mark.slow  # tests/flows/promotion/gates/test_gates.py judges a worse candidate
def test_a_worse_candidate_is_rejected_and_production_stays(dagmm, two_versions, registry):
    # Hardly trained, and on unscaled columns: a poor detector of these rows.
    poor = dagmm(
        "train", "wdbc", "--json",
        "--set", "detector.settings.epochs=1",
        "--set", "detector.settings.learning_rate=1e-9",
        "--set", "detector.settings.members=1",
        "--set", "detector.settings.scaling=none",
        "--set", "promotion.margin=0.0",
        "--set", "promotion.serving_check=false",
    )  # fmt: skip
    assert poor.code == 1
    assert poor.json["promotion"]["decision"] == "rejected"
    assert production(registry) == 2


def test_a_model_with_the_papers_threshold_is_never_promoted(dagmm, two_versions, registry):
    paper = ("--set", "split.protocol=paper", "--set", "promotion.margin=1.0")
    outcome = dagmm("train", "wdbc", *FAST, *paper, "--json")
    assert outcome.code == 1
    assert outcome.json["promotion"]["decision"] == "rejected"
    failed = [g["gate"] for g in outcome.json["promotion"]["gates"] if not g["passed"]]
    assert failed == ["deployable threshold"]
    assert production(registry) == 2
    assert registry.get_model_version("dagmm-wdbc", "3").tags["dagmm.decision"] == "rejected"
    history = dagmm("history", "dagmm-wdbc", "--json").json
    decisions = [line["decision"] for line in history["decisions"]]
    assert decisions == ["promoted", "promoted", "rejected"]


def test_the_same_seed_gives_the_same_model_and_the_summary_says_what_a_user_wants_to_know(
    dagmm, two_versions, two_trainings, registry
):
    # As the second of the two, but served before it is promoted.
    settings = ("--set", "seed=1", "--set", "promotion.margin=1.0")
    served = ("--set", "promotion.serving_check=true")
    text = dagmm("train", "wdbc", *FAST, *settings, *served, "--timings", "--verbose").out
    for words in (
        "569 rows in, 569 valid, 0 quarantined",
        "train 214 normal",
        "reconstruction",
        "split-conformal",
        "ROC AUC",
        "average precision",
        "known anomaly ratio",
        "untrained",
        "MLflow     run",
        "dagmm-wdbc version 3",
        "Promotion  promoted",
        "served in a fresh process: passed",
        "dagmm ui",
        "everything",
    ):
        assert words in text, words

    again = registry.get_model_version("dagmm-wdbc", "3").run_id
    same = registry.download_artifacts(again, "evaluation/test_energies.parquet")
    other, first = (
        pd.read_parquet(run["evidence"]["evaluate"]["energies"]) for run in two_trainings[1]
    )
    assert pd.read_parquet(same).equals(first)
    assert not first.equals(other)


def test_prefect_holds_the_run_its_stages_and_its_artifacts(trained, prefect_server):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        name = "wdbc-dagmm-recommended-seed1"
        chosen = {"state": {"type": {"any_": ["COMPLETED"]}}, "name": {"any_": [name]}}
        ended = {"flow_runs": chosen, "limit": 1}
        newest = client.request(
            "POST", "/flow_runs/filter", json=ended | {"sort": "END_TIME_DESC"}
        ).json()[0]
        asked = {"artifacts": {"flow_run_id": {"any_": [newest["id"]]}}}
        artifacts = client.request("POST", "/artifacts/filter", json=asked).json()
    assert newest["parameters"]["config"]["dataset"] == "wdbc"
    keys = {artifact["key"] for artifact in artifacts}
    assert keys == {
        *("data-quality-wdbc", "training-wdbc"),
        *("promotion-dagmm-wdbc", "mlflow-run-wdbc"),
    }


@pytest.mark.slow  # tests/data_checks reads and validates them
@pytest.mark.parametrize("dataset", ["thyroid", "arrhythmia"])
def test_the_papers_data_sets_train(dagmm, real_data, dataset):
    lenient = ("--set", "promotion.min_roc_auc=0", "--set", "promotion.simple_margin=1")
    outcome = dagmm("train", dataset, *FAST, *lenient, "--json")
    assert outcome.code == 0, outcome.err
    auc = outcome.json["evidence"]["evaluate"]["deployment"]["roc_auc"]
    assert 0.3 < auc["value"] <= 1.0


def test_the_page_of_the_experiment_opens_on_columns_that_its_runs_have(trained, registry):
    run = registry.get_run(trained["registration"]["run_id"])
    tags = registry.get_experiment(run.info.experiment_id).tags
    assert f"viewStateShareKey={pages.VIEW}" in tags[pages.NOTE]
    assert json.loads(tags[pages.TAG])["columnOrder"] == list(pages.TRAINING)
    held = {"tags": run.data.tags, "metrics": run.data.metrics}
    for column in pages.TRAINING:
        kind, _, name = column.partition(".")
        assert kind == "attributes" or name.strip("`") in held[kind], column
    for name in ("resolved.epochs", "resolved.learning_rate"):
        float(run.data.params[name])  # parallel coordinates draw numbers only


def test_evidence_is_one_readable_document(trained, registry):
    path = registry.download_artifacts(trained["registration"]["run_id"], "evidence.json")
    evidence = json.loads(Path(path).read_text())
    assert evidence["config"]["dataset"] == "wdbc"
    assert evidence["evaluate"]["deployment"]["anomalies"] == 42
    assert evidence["calibrate"]["threshold"]["calibration_rows"] == 72
