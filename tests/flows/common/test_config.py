"""Flow parameters from a file, from --set, and what is refused."""

import math

import pytest
from pydantic import ValidationError

from flows.benchmarking.config import BenchmarkConfig
from flows.common.config import TrainConfig, build_config
from flows.common.errors import UsageError
from flows.common.policy import PromotionPolicy
from flows.common.settings import Settings
from flows.drift.comparison import MonitorPolicy
from flows.notify.config import NotifyConfig
from flows.orchestration.monitor_flow import Retraining


def test_assignments_win_over_the_file_and_the_dataset_argument_over_both(tmp_path):
    file = tmp_path / "train.yaml"
    file.write_text("dataset: thyroid\nseed: 3\ndetector: {settings: {epochs: 10}}\n")
    config = build_config("wdbc", None, file, ["seed=5", "detector.settings.members=2"])
    assert (config.dataset, config.seed) == ("wdbc", 5)
    assert config.detector.settings == {"epochs": 10, "members": 2}


@pytest.mark.parametrize(("text", "value"), [("1e-4", 1e-4), ("3", 3), ("2.5", 2.5)])
def test_numbers_are_numbers_however_they_are_written(text, value):
    config = build_config("wdbc", None, None, [f"detector.settings.learning_rate={text}"])
    assert config.detector.settings["learning_rate"] == value


def test_the_digest_changes_with_any_parameter():
    base = TrainConfig()
    assert base.digest == TrainConfig().digest
    assert base.digest != TrainConfig(seed=1).digest
    assert base.digest != TrainConfig(detector={"settings": {"epochs": 9}}).digest


@pytest.mark.parametrize(
    ("assignments", "named"),
    [
        (["seed"], "key=value"),
        (["seed=x"], "seed"),
        (["seed=1", "seed.deeper=1"], "seed"),
        (["calibration.target_rate=0"], "calibration.target_rate"),
        (["split.fractions=[0.5, 0.5]"], "split.fractions"),
        (["detector.settings.epochs=0"], "epochs"),
        (["detector.preset=best"], "best"),
        (["detector.name=dagm"], "did you mean 'dagmm'"),
        (["detector.name=pca", "detector.settings.epochs=3"], "unknown setting 'epochs'"),
        (["detector.name=pca", "detector.preset=paper"], "unknown preset of pca"),
        (["a: b=1"], "a: b"),
        (["detector.name=[1]", "sed=1"], "detector.name"),
        (["epochs=3"], "did you mean 'detector.settings.epochs'"),
        (["detector.epoch=3"], "did you mean 'detector.settings.epochs'"),
        (["detector.name=pca", "component=3"], "did you mean 'detector.settings.components'"),
        (["calibration.rate=0.1"], "did you mean 'calibration.target_rate'"),
        (["false_alarm_rate=0.01"], "did you mean 'calibration.target_rate'"),
        (["alert_rate=0.1"], "did you mean 'promotion.max_alert_rate'"),
        (["recall=0.1"], "did you mean 'promotion.min_recall'"),
        (["alarm_clock=1"], "known: dataset, data, seed, detector,"),
        (["threshold=1"], "'threshold': unknown key; known: dataset"),
        (["a.b=1"], "'a': unknown key; known: dataset"),
        (["test=1"], "'test': unknown key; known: dataset"),
        (["sed=1"], "did you mean 'seed'"),
        (["seed=2026-02-30"], "not valid YAML"),
        (["seed=" + "[" * 3000], "not valid YAML"),
        (["zzz=1"], "'zzz': unknown key; known: dataset, data, seed, detector,"),
        (["promotion.max_latency_ms=.inf"], "promotion.max_latency_ms': Input should be a finite"),
        (["promotion.min_roc_auc=.nan"], "promotion.min_roc_auc"),
        (['model_name="a/b"'], "model_name': give up to 200 letters"),
        (['model_name="a@production"'], "model_name"),
        (['model_name="-x"'], "model_name"),
        (['model_name="a\\nb"'], "model_name"),
        (['model_name=""'], "model_name"),
        ([f"model_name={'x' * 201}"], "model_name"),
        (["split.zzz=1"], "'split.zzz': unknown key; known: protocol, fractions, group_duplicates"),
    ],
)
def test_what_is_refused_is_named(assignments, named):
    with pytest.raises(UsageError) as error:
        build_config("wdbc", None, None, assignments)
    assert named in str(error.value)


def test_the_detector_of_the_command_wins_over_the_files(tmp_path):
    file = tmp_path / "train.yaml"
    file.write_text("detector: {name: pca, settings: {components: 3}}\n")
    assert build_config("wdbc", None, file, []).detector.name == "pca"
    config = build_config("wdbc", None, file, ["detector.settings={}"], "knn")
    assert config.detector.name == "knn"


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "seed: -4", "a: 2026-02-30", "[" * 3000])
def test_a_bad_file_is_named(tmp_path, text):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"bad\.yaml"):
        build_config("wdbc", None, file, [])


POLICIES = (PromotionPolicy, MonitorPolicy, NotifyConfig, BenchmarkConfig, Retraining)


@pytest.mark.parametrize("model", POLICIES, ids=lambda model: model.__name__)
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_no_number_that_a_person_sets_is_infinite(model, value):
    """JSON has none: what is sealed with one could not be read again."""
    numbers = [name for name, field in model.model_fields.items() if "float" in str(field)]
    assert numbers
    for name in numbers:
        with pytest.raises(ValidationError) as error:
            model.model_validate({name: value})
        assert name in {problem["loc"][0] for problem in error.value.errors()}


@pytest.mark.parametrize("value", ["abc", "nan", "inf", "-1"])
def test_a_variable_of_the_environment_that_is_no_number_is_named(monkeypatch, value):
    monkeypatch.setenv("DAGMM_CHECKPOINT_SECONDS", value)
    with pytest.raises(UsageError, match=f"^DAGMM_CHECKPOINT_SECONDS is '{value}': Input should"):
        Settings()


@pytest.mark.parametrize(
    "uri",
    [
        "garbage://x",
        "oracle://u:hush@h/d",
        "file:///tmp/x",
        "./mlruns",
        "   ",
        "http://",
        "https:/h",
    ],
)
def test_a_registry_that_mlflow_cannot_have_is_refused_at_once(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(
        UsageError, match=r"^MLFLOW_TRACKING_URI.*: .*address of an MLflow"
    ) as error:
        Settings()
    assert "hush" not in str(error.value)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("mysql+nodriver://u:hush@h/d", "no driver for this kind"),
        ("postgresql+nodriver://h/d", "no driver for this kind"),
        ("mysql+pymysql://u:hush@h/d", "driver pymysql is not installed"),
        ("postgresql://u:hush@h/d", r"psycopg2 is not installed; write postgresql\+psycopg://"),
        ("postgresql+psycopg://h:port/d", "not a SQLAlchemy URL"),
        ("sqlite+aiosqlite:////a/b.db", "asynchronous"),
    ],
)
def test_a_database_that_nothing_here_can_talk_to_is_refused_at_once(monkeypatch, uri, why):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UsageError, match=f"^MLFLOW_TRACKING_URI: .*{why}") as error:
        Settings()
    assert "hush" not in str(error.value)


@pytest.mark.parametrize(
    "uri",
    ["http://127.0.0.1:5000", "https://a.b/c", "sqlite:////a/b.db", "postgresql+psycopg://h/d"],
)
def test_servers_and_databases_are_taken_as_they_are(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert Settings().tracking_uri == uri
