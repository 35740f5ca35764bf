"""kill -9, then the same command: it goes on where it stopped and ends with one version."""

import json
import signal
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.flows.conftest import production

SLOW_ENOUGH = (
    "--set", "detector.settings.epochs=400",
    "--set", "detector.settings.members=1",
    "--set", "promotion.serving_check=false",
)  # fmt: skip


def _runs(home: Path) -> list[Path]:
    return sorted((home / "workspace" / "runs").glob("*"))


def _kill_when(process, ready, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, process.communicate()[1][-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.fixture
def uninterrupted(dagmm):
    """The same training without a kill, in the same store under another name."""
    outcome = dagmm("train", "wdbc", *SLOW_ENOUGH, "--set", "model_name=undisturbed", "--json")
    assert outcome.code == 0, outcome.err
    return outcome.json


def _parameters(result) -> dict:
    return load_file(Path(result["evidence"]["fit"]["detector"]) / "detector.safetensors")


@pytest.mark.parametrize(
    "stage",
    [
        "fit",
        pytest.param("calibrate", marks=pytest.mark.slow),
        pytest.param("evaluate", marks=pytest.mark.slow),
        pytest.param("register", marks=pytest.mark.slow),
    ],
)
def test_killed_in_a_stage_and_resumed(dagmm, dagmm_process, uninterrupted, home, registry, stage):
    before = set(_runs(home))
    process = dagmm_process("train", "wdbc", *SLOW_ENOUGH, DAGMM_CHECKPOINT_SECONDS="0")
    records = ("ingest", "validate", "split", "fit", "calibrate", "evaluate", "register")
    previous = records[records.index(stage) - 1]

    def reached() -> bool:
        new = set(_runs(home)) - before
        return any((folder / f"{previous}.json").exists() for folder in new) and (
            stage != "fit" or any(list((folder / "checkpoints").glob("*.*")) for folder in new)
        )

    _kill_when(process, reached)
    assert len(set(_runs(home)) - before) == 1

    resumed = dagmm("train", "wdbc", *SLOW_ENOUGH, "--json")
    assert resumed.code == 0, resumed.err
    assert len(set(_runs(home)) - before) == 1, "a second folder: the run was not resumed"
    theirs, ours = _parameters(uninterrupted), _parameters(resumed.json)
    assert theirs.keys() == ours.keys()
    assert all((theirs[name] == ours[name]).all() for name in theirs)

    versions = registry.search_model_versions("name='dagmm-wdbc'")
    assert len(versions) == 1
    assert production(registry) == 1
    experiment = registry.get_experiment_by_name("dagmm-wdbc").experiment_id
    runs = registry.search_runs([experiment], "tags.`dagmm.dataset` = 'wdbc'")
    assert len(runs) == 2  # the undisturbed one and the resumed one
    assert {run.info.status for run in runs} == {"FINISHED"}
    history = registry.get_metric_history(resumed.json["registration"]["run_id"], "loss/total")
    assert sorted({metric.step for metric in history}) == list(range(1, 401))


@pytest.mark.slow
def test_a_finished_run_is_not_resumed_but_repeated(dagmm, home):
    fast = ("--set", "detector.settings.epochs=5", "--set", "detector.settings.members=1")
    first = dagmm("train", "wdbc", *fast, "--json").json
    second = dagmm("train", "wdbc", *fast, "--json").json
    assert first["registration"]["run_id"] != second["registration"]["run_id"]
    assert json.dumps(first["evidence"]["evaluate"]["deployment"]) == json.dumps(
        second["evidence"]["evaluate"]["deployment"]
    )
