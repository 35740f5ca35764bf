"""What a training survives: servers that go away, a killed database, a full disk, a crowd."""

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from flows.services import servers
from tests.flows import forked
from tests.flows.conftest import BIN
from tests.flows.running_services import set_up
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
EPOCHS = 20_000  # longer than anybody takes to end a service after the first checkpoint
CROWD = 20


def _train(epochs: int = EPOCHS, **settings: object) -> list[str]:
    chosen = {"detector.settings.epochs": epochs, "detector.settings.members": 1}
    chosen |= {"promotion.serving_check": "false"} | settings
    assignments = [word for k, v in chosen.items() for word in ("--set", f"{k}={v}")]
    return ["train", "wdbc", "--json", *assignments]


def _client(address: str):
    from mlflow.tracking import MlflowClient

    return MlflowClient(address, address)


def _in_training(home: Path) -> bool:
    return any((home / "workspace" / "runs").glob("*/checkpoints/*"))


def _trains_on(home: Path, training) -> None:
    """Wait for a checkpoint newer than the one that is there, as long as a service is away."""
    (checkpoint,) = (home / "workspace" / "runs").glob("*/checkpoints/checkpoint.safetensors")
    written = checkpoint.stat().st_mtime_ns
    until(lambda: checkpoint.stat().st_mtime_ns != written, training, seconds=300, pause=0.2)


def _every_epoch_is_there(client, result: dict, epochs: int = EPOCHS) -> None:
    run = client.get_run(result["registration"]["run_id"])
    assert run.info.status == "FINISHED"
    stride = -(-epochs // 1000)
    expected = sorted({*range(0, epochs, stride), epochs - 1})
    for name in ("loss/total", "loss/reconstruction", "mixture/min_phi"):
        history = client.get_metric_history(run.info.run_id, name)
        assert sorted(metric.step for metric in history) == expected, name


@pytest.fixture(scope="module")
def services():
    with set_up(BIN / "dagmm") as made:
        made.start()
        yield made


@pytest.fixture
def client(services, monkeypatch):
    """Client of the team's MLflow, logged in."""
    for name, value in services.client.items():
        if name.startswith("MLFLOW"):
            monkeypatch.setenv(name, value)
    return _client(services.client["MLFLOW_TRACKING_URI"])


@pytest.fixture
def environment(services, tmp_path):
    """Environment of a training that uses the services, with a workspace of its own."""
    return services.client | {"DAGMM_HOME": str(tmp_path), "DAGMM_CHECKPOINT_SECONDS": "1"}


def test_the_tracking_server_is_away_for_a_minute(home, prefect_server, tmp_path, monkeypatch):
    port = servers.free_port()
    address = f"http://127.0.0.1:{port}"

    def start():
        command = ["-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"]
        command += ["--artifacts-destination", str(tmp_path / "artifacts")]
        server = servers.start(*command, log=tmp_path / "mlflow.log")
        servers.wait_for(f"{address}/health", server, tmp_path / "mlflow.log")
        return server

    server = start()
    try:
        output = tmp_path / "output.json"
        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": address,
            "DAGMM_CHECKPOINT_SECONDS": "1",
        }
        training = forked.start(_train(), environment, output)
        until(lambda: _in_training(home), training, seconds=300, pause=0.2)
        servers.stop(server)
        away = time.monotonic()
        _trains_on(home, training)
        time.sleep(max(0.0, away + 60 - time.monotonic()))
        server = start()
        result = forked.finish(training, output)
        _every_epoch_is_there(_client(address), result)
    finally:
        servers.stop(server)


@pytest.mark.parametrize("victim", ["postgres", "mlflow server", "prefect server"])
def test_a_service_is_killed_and_comes_back(services, client, environment, tmp_path, victim):
    output = tmp_path / "output.json"
    training = forked.start(_train(), environment, output)
    until(lambda: _in_training(tmp_path), training, seconds=300, pause=0.2)
    if victim == "postgres":
        data = services.home / "postgres" / "data" / "postmaster.pid"
        pids = [int(data.read_text().split()[0])]
    else:
        children = psutil.Process(services.process.pid).children()
        pids = [child.pid for child in children if victim in " ".join(child.cmdline())]
    services.process.send_signal(signal.SIGSTOP)  # or it would start the service again at once
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    try:
        _trains_on(tmp_path, training)
    finally:
        services.process.send_signal(signal.SIGCONT)
    result = forked.finish(training, output)
    _every_epoch_is_there(client, result)
    services.wait_until_up()


def test_twenty_trainings_at_once_lose_nothing(services, client, environment, tmp_path):
    started, outputs, trainings = time.monotonic(), [], []
    for seed in range(CROWD):
        outputs.append(tmp_path / f"{seed}.json")
        arguments = _train(20, seed=seed, model_name="crowd", **{"promotion.margin": 1.0})
        trainings.append(forked.start(arguments, environment, outputs[-1]))
    results = [forked.finish(*pair) for pair in zip(trainings, outputs, strict=True)]
    seconds = time.monotonic() - started

    versions = client.search_model_versions("name='crowd'")
    assert sorted(int(v.version) for v in versions) == list(range(1, CROWD + 1))
    assert len({r["registration"]["run_id"] for r in results}) == CROWD
    for result in results:
        _every_epoch_is_there(client, result, 20)
    from flows.promotion import audit

    decisions = audit.history(client, "crowd")
    assert sorted(d.version for d in decisions) == list(range(1, CROWD + 1))
    assert all(decision.complete for decision in decisions)
    last = audit.switches(decisions)[-1].version
    assert client.get_model_version_by_alias("crowd", "production").version == str(last)
    longest = max(r["timings"]["everything"] for r in results)
    print(f"\n{CROWD} trainings at once: {seconds:.0f} s in all, the longest {longest:.0f} s")


@pytest.fixture
def small_disk(tmp_path, empty_store):
    """A file system of 64 MB with a store on it; whatever is put into `ballast` is missing."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder])
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    shutil.copy(empty_store, folder / "mlflow.db")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("free_kb", [16, 200, 500, 1000, 2000])
def test_a_full_disk_is_said_and_the_same_command_goes_on(
    small_disk, prefect_server, tmp_path, free_kb
):
    environment = {**os.environ, "DAGMM_HOME": str(small_disk), "DAGMM_PROGRESS": "off"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    ballast = small_disk / "ballast"
    room = shutil.disk_usage(small_disk).free - free_kb * 1024
    ballast.write_bytes(b"\0" * room)
    command = [BIN / "dagmm", *_train(50)]
    full = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert full.returncode == 3, full.stderr
    assert "disk" in full.stderr or "space" in full.stderr
    assert "Traceback" not in full.stderr

    ballast.unlink()
    again = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    registry = _client(f"sqlite:///{small_disk / 'mlflow.db'}")
    assert len(registry.search_model_versions("name='dagmm-wdbc'")) == 1
    _every_epoch_is_there(registry, json.loads(again.stdout), 50)


def test_a_file_that_may_not_grow_is_said_too(home, prefect_server):
    limited = subprocess.run(
        [BIN / "dagmm", *_train(50)],
        env={**os.environ, "DAGMM_PROGRESS": "off"},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert limited.returncode == 3, limited.stderr
    assert "Traceback" not in limited.stderr
