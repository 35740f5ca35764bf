"""`dagmm train` by two ranks: one run, one version, one rank's model; and what a death leaves."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows.services.servers import free_port
from tests.flows import forked
from tests.waiting import until

EPOCHS = 200
TRAIN = (
    "train", "wdbc", "--json",
    "--set", f"detector.settings.epochs={EPOCHS}",
    "--set", "promotion.serving_check=false",
)  # fmt: skip
SAME = 1e-3
"""Energies are of order 1; 400 steps in float32, whose sums have another order."""


@pytest.fixture(scope="module")
def alone(prefect_server, empty_store, tmp_path_factory):
    """Test energies of the same training by one process."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "mlruns").mkdir()
    shutil.copy(empty_store, folder / "mlruns" / "mlflow.db")
    environment = {**os.environ, "DAGMM_HOME": str(folder / "mlruns")}
    environment.pop("MLFLOW_TRACKING_URI", None)
    output = folder / "output.json"
    return energies(forked.finish(forked.start(TRAIN, environment, output), output))


def energies(result: dict) -> np.ndarray:
    return pq.read_table(result["evidence"]["evaluate"]["energies"]).column("energy").to_numpy()


@pytest.fixture
def ranks(home, prefect_server, tmp_path):
    """Starts the command as ranks of one group, as Kubernetes would: by the environment alone."""

    def start(size: int, *more: str, **environment: str) -> list:
        variables = {
            **os.environ,
            "DAGMM_CHECKPOINT_SECONDS": "0",
            "WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port()),
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        return [
            forked.start(
                (*TRAIN, *more),
                variables | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                tmp_path / f"{rank}.json",
            )
            for rank in range(size)
        ]

    return start


def checkpoint_of(home: Path) -> Path:
    """Waits for the first checkpoint."""
    return until(lambda: next(home.glob("workspace/runs/*/checkpoints/*.safetensors"), None))


def versions(registry) -> list:
    return registry.search_model_versions("name='dagmm-wdbc'")


def tracked_runs(registry) -> list:
    experiment = registry.get_experiment_by_name("dagmm-wdbc").experiment_id
    return registry.search_runs([experiment])


@pytest.mark.slow
def test_two_ranks_register_one_version_of_the_model_of_one(ranks, alone, home, registry, tmp_path):
    first, second = ranks(2)
    result = forked.finish(first, tmp_path / "0.json")
    second.join(600)
    assert second.exitcode == 0
    assert (tmp_path / "1.json").read_text() == "", "the second rank has something to say"
    assert result["evidence"]["fit"]["ranks"] == 2
    np.testing.assert_allclose(energies(result), alone, rtol=0, atol=SAME)
    assert len(versions(registry)) == 1
    (run,) = tracked_runs(registry)
    assert run.info.status == "FINISHED"
    assert run.data.tags["dagmm.ranks"] == "2"
    history = registry.get_metric_history(run.info.run_id, "loss/total")
    assert sorted(metric.step for metric in history) == list(range(EPOCHS))


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "resumed_by"), [(1, 2), (1, 1), (1, 3), (0, 1)])
def test_a_rank_killed_in_an_epoch_ends_all_and_any_number_goes_on(
    ranks, alone, home, registry, tmp_path, victim, resumed_by
):
    both = ranks(2)
    actual = checkpoint_of(home)
    os.kill(both[victim].pid, signal.SIGKILL)
    survivor = both[1 - victim]
    survivor.join(600)
    assert survivor.exitcode == 3, "a lost rank is a service that cannot be reached"
    assert versions(registry) == []
    (run,) = tracked_runs(registry)
    if victim == 1:  # the first rank has said what happened
        assert run.info.status == "FAILED"
        assert "another rank" in run.data.tags["dagmm.error"]
    assert not (actual.parent.parent / "fit.json").exists()

    again = ranks(resumed_by)
    result = forked.finish(again[0], tmp_path / "0.json")
    for rank in again[1:]:
        rank.join(600)
        assert rank.exitcode == 0
    np.testing.assert_allclose(energies(result), alone, rtol=0, atol=SAME)
    assert list(home.glob("workspace/runs/*")) == [actual.parent.parent], "it was not resumed"
    assert len(versions(registry)) == 1
    (run,) = tracked_runs(registry)
    assert run.info.status == "FINISHED"


@pytest.mark.slow
@pytest.mark.parametrize("told", [0, 1])
def test_sigterm_to_any_rank_stops_all_with_a_checkpoint(ranks, home, registry, told):
    both = ranks(2)
    checkpoint_of(home)
    both[told].terminate()
    for rank in both:
        rank.join(600)
    assert [rank.exitcode for rank in both] == [143, 143]
    assert versions(registry) == []
    (run,) = tracked_runs(registry)
    assert run.info.status == "KILLED"


@pytest.mark.slow
def test_torchrun_ends_all_ranks_with_one_and_the_same_command_goes_on(
    home, prefect_server, registry, alone
):
    command = [
        str(Path(sys.executable).with_name("torchrun")),
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "flows.cli",
        *TRAIN,
    ]
    environment = {**os.environ, "DAGMM_CHECKPOINT_SECONDS": "0"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    checkpoint_of(home)
    os.kill(rank_of(process.pid, 1), signal.SIGKILL)
    _, message = process.communicate(timeout=600)
    assert process.returncode != 0, message
    assert versions(registry) == []
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert again.returncode == 0, again.stderr[-3000:]
    assert len(versions(registry)) == 1
    (run,) = tracked_runs(registry)
    assert run.info.status == "FINISHED"


def rank_of(launcher: int, rank: int) -> int:
    """Process id of a rank that torchrun has started."""
    import psutil

    for child in psutil.Process(launcher).children(recursive=True):
        if child.environ().get("RANK") == str(rank):
            return child.pid
    raise AssertionError(f"no rank {rank}")


def test_a_detector_without_ranks_is_refused_before_anything_is_started(dagmm, monkeypatch, home):
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(free_port()))
    refused = dagmm("train", "wdbc", "--detector", "knn")
    assert refused.code == 2
    assert "'knn' is trained by one process" in refused.err
    assert not (home / "workspace").exists()


def test_a_rank_that_never_comes_is_told(dagmm, monkeypatch, home):
    for name, value in {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "DAGMM_RANK_TIMEOUT_SECONDS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    lost = dagmm("train", "wdbc")
    assert lost.code == 3
    assert "another rank" in lost.err


@pytest.mark.slow
def test_sparks_distributor_starts_the_ranks(
    home, prefect_server, registry, alone, tmp_path, monkeypatch
):
    pytest.importorskip("pyspark")
    from pyspark.ml.torch.distributor import TorchDistributor

    from data_checks.spark.session import spark_session
    from flows.cli import dagmm as command

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with spark_session({"spark.master": "local[2]"}, (), log=tmp_path / "spark.log"):
        distributor = TorchDistributor(num_processes=2, local_mode=True, use_gpu=False)
        distributor.run(command, *(a for a in TRAIN if a != "--json"))
    assert len(versions(registry)) == 1
    (run,) = tracked_runs(registry)
    assert run.info.status == "FINISHED"
    assert run.data.tags["dagmm.ranks"] == "2"
    (actual,) = home.glob("workspace/runs/*/test_energies.parquet")
    ours = pq.read_table(actual).column("energy").to_numpy()
    np.testing.assert_allclose(ours, alone, rtol=0, atol=SAME)
