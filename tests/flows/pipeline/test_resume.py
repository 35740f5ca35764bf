"""kill -9 anywhere, then the same command: it goes on where it stopped, to one version."""

import json
import os
import shutil
import signal
from pathlib import Path
from unittest import mock

import pytest
from safetensors.numpy import load_file

from flows.common.errors import ServiceUnreachable
from flows.pipeline.fitting.epochs import EpochLogger
from flows.promotion import audit
from flows.stages import table
from tests.flows import forked
from tests.flows.conftest import FAST, production

EPOCHS = 60
TRAIN = (
    "train", "wdbc", "--json",
    "--set", f"detector.settings.epochs={EPOCHS}",
    "--set", "detector.settings.members=1",
    "--set", "promotion.serving_check=false",
)  # fmt: skip
STAGES = (
    *("ingest", "validate", "verdicts", "split", "fit"),
    *("calibrate", "evaluate", "register", "promote"),
)
DEATHS = [(stage, point) for stage in STAGES for point in ("start", "middle", "end")]
QUICK = [("fit", "middle")]


def _runs(home: Path) -> list[Path]:
    return sorted((home / "workspace" / "runs").glob("*"))


def _parameters(result: dict) -> dict:
    return load_file(Path(result["evidence"]["fit"]["detector"]) / "detector.safetensors")


@pytest.fixture
def train(home, prefect_server, tmp_path):
    """Starts the command in a process of its own; how it ends is told by `finish`."""

    def start(**death):
        environment = {**os.environ, "DAGMM_CHECKPOINT_SECONDS": "0"}
        return forked.start(TRAIN, environment, tmp_path / "output.json", **death)

    return start


@pytest.fixture(scope="module")
def undisturbed(prefect_server, empty_store, tmp_path_factory):
    """The same training, never killed; and what its stages take."""
    folder = tmp_path_factory.mktemp("undisturbed")
    home = folder / "mlruns"
    home.mkdir()
    shutil.copy(empty_store, home / "mlflow.db")
    environment = {**os.environ, "DAGMM_HOME": str(home), "DAGMM_CHECKPOINT_SECONDS": "0"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    output = folder / "output.json"
    result = forked.finish(forked.start(TRAIN, environment, output), output)
    (run,) = _runs(home)
    seconds = {
        name: json.loads((run / f"{name}.json").read_text())["record"]["seconds"] for name in STAGES
    }
    return _parameters(result), seconds


@pytest.mark.parametrize(
    ("stage", "point"),
    [
        pytest.param(*death, marks=() if death in QUICK else pytest.mark.slow)
        for death in [*DEATHS, ("promote", "recorded")]
    ],
)
def test_killed_anywhere_and_resumed(train, undisturbed, home, registry, tmp_path, stage, point):
    parameters, seconds = undisturbed
    killed = train(stage=stage, point=point, seconds=seconds[stage])
    killed.join(600)
    assert killed.exitcode == -signal.SIGKILL
    (run,) = _runs(home)
    assert (run / f"{stage}.json").exists() == (point == "recorded")
    assert not (run / "finished").exists()

    resumed = forked.finish(train(), tmp_path / "output.json")
    assert _runs(home) == [run], "a second folder: the run was not resumed"
    ours = _parameters(resumed)
    assert parameters.keys() == ours.keys()
    assert all((parameters[name] == ours[name]).all() for name in parameters)

    assert len(registry.search_model_versions("name='dagmm-wdbc'")) == 1
    assert production(registry) == 1
    switches = audit.switches(audit.history(registry, "dagmm-wdbc"))
    assert [(move.version, move.complete) for move in switches] == [(1, True)]
    experiment = registry.get_experiment_by_name("dagmm-wdbc").experiment_id
    (tracked,) = registry.search_runs([experiment])
    assert tracked.info.status == "FINISHED"
    assert "dagmm.error" not in tracked.data.tags
    history = registry.get_metric_history(tracked.info.run_id, "loss/total")
    assert sorted(metric.step for metric in history) == list(range(EPOCHS))


@pytest.mark.slow  # test_signals.py sends it in the first epoch
def test_sigterm_in_training_leaves_a_checkpoint_and_is_resumed(
    dagmm, undisturbed, home, registry, monkeypatch
):
    parameters, _ = undisturbed
    real_call = EpochLogger.__call__

    def stopping(logger: EpochLogger, epoch) -> None:
        real_call(logger, epoch)
        if epoch.epoch == EPOCHS // 2:
            os.kill(os.getpid(), signal.SIGTERM)

    # Checkpoints far apart: the one that is found is the one that the signal asked for.
    monkeypatch.setenv("DAGMM_CHECKPOINT_SECONDS", "3600")
    with mock.patch.object(EpochLogger, "__call__", stopping):
        stopped = dagmm(*TRAIN)
    assert stopped.code == 143, stopped.err
    assert "the same command resumes" in stopped.err
    assert "Traceback" not in stopped.err
    (run,) = _runs(home)
    assert list((run / "checkpoints").iterdir())
    assert not (run / "fit.json").exists()
    experiment = registry.get_experiment_by_name("dagmm-wdbc").experiment_id
    (tracked,) = registry.search_runs([experiment])
    assert tracked.info.status == "KILLED"

    ours = _parameters(dagmm(*TRAIN).json)
    assert all((parameters[name] == ours[name]).all() for name in parameters)
    (tracked,) = registry.search_runs([experiment])
    assert tracked.info.status == "FINISHED"
    assert production(registry) == 1


@pytest.mark.slow
def test_two_trainings_of_the_same_data_at_once_do_not_touch_each_other(
    home, prefect_server, registry, undisturbed, tmp_path
):
    outputs = [tmp_path / f"{number}.json" for number in range(2)]
    both = [forked.start(TRAIN, os.environ, output) for output in outputs]
    results = [forked.finish(*pair) for pair in zip(both, outputs, strict=True)]
    assert len(_runs(home)) == 2
    assert sorted(r["registration"]["version"] for r in results) == [1, 2]
    assert len({r["registration"]["run_id"] for r in results}) == 2
    for result in results:
        ours = _parameters(result)
        assert all((undisturbed[0][name] == ours[name]).all() for name in ours)
    decisions = audit.history(registry, "dagmm-wdbc")
    assert all(decision.complete for decision in decisions)
    assert production(registry) == audit.switches(decisions)[-1].version


@pytest.mark.slow
def test_a_finished_run_is_not_resumed_but_repeated(dagmm, home):
    fast = ("--set", "detector.settings.epochs=5", "--set", "detector.settings.members=1")
    first = dagmm("train", "wdbc", *fast, "--json").json
    second = dagmm("train", "wdbc", *fast, "--json").json
    assert first["registration"]["run_id"] != second["registration"]["run_id"]
    assert json.dumps(first["evidence"]["evaluate"]["deployment"]) == json.dumps(
        second["evidence"]["evaluate"]["deployment"]
    )


def test_a_damaged_checkpoint_is_said_and_the_fit_starts_over(dagmm, home):
    real_stage = table.run_stage

    def run_stage(run, name, *arguments, **options):
        if name == "calibrate":
            raise ServiceUnreachable("stopped after the fit")
        return real_stage(run, name, *arguments, **options)

    with mock.patch.object(table, "run_stage", run_stage):
        assert dagmm("train", "wdbc", *FAST).code == 3
        (run,) = _runs(home)
        (arrays,) = run.rglob("detector.safetensors")
        trained = arrays.read_bytes()
        (run / "fit.json").unlink()
        arrays.unlink()
        checkpoint = run / "checkpoints" / "checkpoint.safetensors"
        content = bytearray(checkpoint.read_bytes())
        content[-5] ^= 1
        checkpoint.write_bytes(content)
        again = dagmm("train", "wdbc", *FAST)
    assert again.code == 3
    assert "stopped after the fit" in again.err
    assert f"{checkpoint} is damaged" in again.err
    assert "starts over" in again.err
    assert arrays.read_bytes() == trained
