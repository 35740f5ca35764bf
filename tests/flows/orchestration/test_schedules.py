"""Schedules as they run for months: a real Prefect server, a real worker, real processes."""

import os
import shutil
import signal
import time

import psutil
import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.services import servers
from tests.waiting import until

pytestmark = pytest.mark.slow


def _deployment(name: str, epochs: int, schedules: list[dict]) -> dict:
    return {
        "name": name,
        "entrypoint": "flows/orchestration/train_flow.py:train",
        "description": "For a test.",
        "tags": ["dagmm", "test"],
        "parameters": {
            "config": {
                "dataset": "wdbc",
                "detector": {"settings": {"epochs": epochs, "members": 1}},
                "promotion": {"serving_check": False},
            }
        },
        "schedules": schedules,
        "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
    }


@pytest.fixture
def prefect_server(prefect_tables, tmp_path, monkeypatch):
    """One that looks after schedules and workers, which that of the session does not."""
    port, home, log = servers.free_port(), tmp_path / "prefect", tmp_path / "server.log"
    home.mkdir()
    shutil.copy(prefect_tables, home / "prefect.db")
    environment = {"PREFECT_HOME": str(home), "PREFECT_UI_ENABLED": "false"}
    server = servers.start_prefect(port, log, environment=environment)
    url = f"http://127.0.0.1:{port}/api"
    servers.wait_for(f"{url}/health", server, log)
    monkeypatch.setenv("PREFECT_API_URL", url)
    with temporary_settings({PREFECT_API_URL: url}):  # in this process it was read long ago
        yield url
    servers.stop(server)


@pytest.fixture
def pool(request) -> str:
    """A work pool of the test's own: its worker does not take runs that another test left."""
    return request.node.name


@pytest.fixture
def deploy(dagmm, pool, tmp_path):
    """Applies one deployment; its file is that of a user."""

    def apply(deployment: dict) -> None:
        file = tmp_path / "prefect.yaml"
        file.write_text(
            yaml.safe_dump({"deployments": [deployment | {"work_pool": {"name": pool}}]})
        )
        outcome = dagmm("deploy", "--file", file, "--json")
        assert outcome.code == 0, outcome.err

    return apply


@pytest.fixture
def worker(home, prefect_server, pool, tmp_path):
    """A worker as `dagmm services` starts one."""
    environment = {"DAGMM_HOME": str(home), "PREFECT_WORKER_QUERY_SECONDS": "2"}
    log = tmp_path / "worker.log"
    arguments = ("-m", "prefect", "worker", "start", "--pool", pool, "--type", "process")
    process = servers.start(*arguments, environment=environment, log=log)
    yield process
    servers.stop(process)


def _runs(ask, deployment: str) -> list[dict]:
    name = {"deployments": {"name": {"any_": [deployment]}}}
    return ask("/flow_runs/filter", {**name, "sort": "EXPECTED_START_TIME_ASC", "limit": 100})


def test_a_schedule_fires_and_a_second_start_is_held_back(deploy, worker, ask, registry):
    # Fires every 5 s, and a run takes longer than that: imports alone do.
    deploy(_deployment("often", 5, [{"interval": 5, "slug": "often"}]))
    running, held_back, completed = [], 0, 0
    deadline = time.monotonic() + 600
    while completed < 2:
        states = [(run["id"], run["state"]["name"]) for run in _runs(ask, "often")]
        running.append([run for run, state in states if state == "Running"])
        held_back += any(state == "AwaitingConcurrencySlot" for _, state in states)
        completed = sum(state == "Completed" for _, state in states)
        assert not {state for _, state in states} & {"Failed", "Crashed"}, states
        assert time.monotonic() < deadline, states
        time.sleep(0.5)
    assert max(len(each) for each in running) == 1
    assert held_back
    deploy(_deployment("often", 5, [{"interval": 5, "slug": "often", "active": False}]))
    assert len(registry.search_model_versions("name='dagmm-wdbc'")) >= 2


def _start(ask, deployment: str) -> str:
    actual = ask(f"/deployments/name/train/{deployment}")
    return ask(f"/deployments/{actual['id']}/create_flow_run", {})["id"]


def _processes_of(run_id: str) -> list[psutil.Process]:
    """Processes that Prefect started for a run."""
    actual = []
    for process in psutil.process_iter():
        try:
            named = process.environ().get("PREFECT__FLOW_RUN_ID", "")
            if named.replace("-", "") == run_id.replace("-", ""):
                actual.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return actual


def _in_training(registry) -> bool:
    experiment = registry.get_experiment_by_name("dagmm-wdbc")
    runs = registry.search_runs([experiment.experiment_id]) if experiment else []
    return bool(runs) and "loss/total" in runs[0].data.metrics


def test_a_cancelled_run_stops_its_process_and_leaves_nothing_half_done(
    deploy, worker, ask, home, registry
):
    deploy(_deployment("endless", 1_000_000, []))
    run = _start(ask, "endless")
    until(lambda: _in_training(registry), seconds=300)
    assert _processes_of(run)
    ask(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    until(lambda: ask(f"/flow_runs/{run}")["state"]["type"] == "CANCELLED", seconds=120)
    until(lambda: not _processes_of(run), seconds=60)
    assert registry.search_registered_models() == []
    (tracked,) = registry.search_runs([registry.get_experiment_by_name("dagmm-wdbc").experiment_id])
    assert tracked.info.status == "KILLED"
    (folder,) = (home / "workspace" / "runs").iterdir()
    assert (folder / "checkpoints" / "checkpoint.safetensors").exists()


def test_a_run_whose_process_is_killed_frees_its_place(deploy, worker, ask, registry):
    deploy(_deployment("killed", 1_000_000, []))
    run = _start(ask, "killed")
    until(lambda: _in_training(registry), seconds=300)
    for process in _processes_of(run):
        os.kill(process.pid, signal.SIGKILL)
    until(lambda: ask(f"/flow_runs/{run}")["state"]["type"] == "CRASHED", seconds=120)
    deploy(_deployment("killed", 5, []))
    again = _start(ask, "killed")
    until(
        lambda: ask(f"/flow_runs/{again}")["state"]["type"] == "COMPLETED", seconds=300, pause=0.5
    )
