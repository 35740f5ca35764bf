"""`dagmm services` as its operator meets it: started, used, killed, saved, restored, upgraded."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.flows.conftest import BIN, FAST
from tests.flows.notify.conftest import listening
from tests.flows.running_services import set_up

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told():
    with listening() as heard:
        yield heard


@pytest.fixture(scope="module")
def services(told):
    with set_up(BIN / "dagmm") as made:
        target = {"name": "on call", "kind": "webhook", "url": "TOLD", "events": ["service-down"]}
        (made.home / "notify.yaml").write_text(json.dumps({"notify": {"targets": [target]}}))
        made.environment["TOLD"] = told.url
        made.start()
        yield made


@pytest.fixture(scope="module")
def trained(services, tmp_path_factory):
    """A training by a client, who has an address and a login and nothing else."""
    home = tmp_path_factory.mktemp("client")
    done = subprocess.run(
        [BIN / "dagmm", "train", "wdbc", *FAST, "--json"],
        env=services.client | {"DAGMM_HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _code(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def _registry(services, monkeypatch):
    from mlflow.tracking import MlflowClient

    for name, value in services.client.items():
        if name.startswith("MLFLOW"):
            monkeypatch.setenv(name, value)
    url = services.client["MLFLOW_TRACKING_URI"]
    return MlflowClient(url, url)


def test_all_answer_and_a_stranger_is_turned_away(services):
    actual = services.run("status")
    assert actual.returncode == 0, actual.stdout
    assert actual.stdout.count("up ") == 4
    client = services.client
    assert _code(f"{client['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search") == 401
    assert _code(f"{client['PREFECT_API_URL']}/admin/version") == 401
    wrong = services.run("status", POSTGRES_PASSWORD="wrong-password")
    assert "PostgreSQL DOWN" in wrong.stdout
    assert wrong.returncode == 3


def test_a_training_needs_no_credentials_of_the_store(services, trained, monkeypatch):
    registry = _registry(services, monkeypatch)
    run = registry.get_run(trained["registration"]["run_id"])
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert run.info.status == "FINISHED"
    assert any((services.home / "artifacts").rglob("detector.safetensors"))
    assert registry.get_model_version_by_alias("dagmm-wdbc", "production").version == "1"


def test_no_secret_is_in_a_log_or_on_a_command_line(services, trained):
    kept = dict(line.split("=", 1) for line in (services.home / "secrets.env").read_text().split())
    message = b"".join(p.read_bytes() for p in (services.home / "logs").glob("*.log"))
    message += (services.home / "services.log").read_bytes()
    seen = "\n".join(" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"]))
    for value in kept.values():
        assert value.encode() not in message
        assert value not in seen


def test_a_second_start_in_the_same_folder_is_refused(services):
    again = services.run("run")
    assert again.returncode == 2
    assert "stop them first" in again.stderr


@pytest.mark.parametrize(
    ("victim", "name"),
    [
        ("mlflow server", "MLflow"),
        ("prefect server", "Prefect"),
        ("prefect worker", "worker"),
        ("postgres", "PostgreSQL"),
    ],
)
def test_what_is_killed_is_told_and_comes_back(services, trained, told, victim, name, monkeypatch):
    if victim == "postgres":
        parent, words = None, f"-p {services.environment['DAGMM_POSTGRES_PORT']}"
    else:
        parent, words = services.process.pid, victim

    def matching() -> set[int]:
        return {
            process.pid
            for process in psutil.process_iter(["cmdline", "ppid"])
            if words in " ".join(process.info["cmdline"] or [])
            and parent in {None, process.info["ppid"]}
        }

    before = matching()
    assert before
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 600
    while not matching() - before:
        assert time.monotonic() < deadline
        assert services.process.poll() is None, (services.home / "services.log").read_text()
        time.sleep(0.5)
    services.wait_until_up()
    (news,) = [body for body in told.bodies if body["subject"] == name]
    assert (news["event"], news["title"]) == ("service-down", f"{name}: service down")
    assert "it is being started again" in news["reason"]
    assert _registry(services, monkeypatch).get_model_version("dagmm-wdbc", "1")


def test_saved_while_in_use_and_restored_into_a_new_set_up(services, trained, monkeypatch):
    parent = services.home / "backups"
    saved = json.loads(services.run("backup", str(parent), "--json").stdout)["backup"]
    assert not list(parent.glob(".*"))
    assert services.run("restore", saved).returncode == 2  # they run

    with set_up(BIN / "dagmm") as other:
        for name in ("POSTGRES_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD"):
            # Passwords belong to the set-up; the login of MLflow's users is in the saved database.
            secrets = (services.home / "secrets.env").read_text()
            other.environment[name] = dict(line.split("=", 1) for line in secrets.split())[name]
        restored = other.run("restore", saved)
        assert restored.returncode == 0, restored.stderr
        again = other.run("restore", saved)
        assert again.returncode == 2
        assert "not empty" in again.stderr
        upgraded = other.run("upgrade", "--json")
        assert upgraded.returncode == 0, upgraded.stderr
        assert json.loads(upgraded.stdout)["upgraded"] == ["mlflow", "mlflow_auth", "prefect"]

        other.start()
        theirs, ours = (_registry(each, monkeypatch) for each in (services, other))
        run_id = trained["registration"]["run_id"]
        before, after = (each.get_run(run_id).data.to_dictionary() for each in (theirs, ours))
        assert before["metrics"]
        assert before == after
        before, after = (each.get_metric_history(run_id, "loss/total") for each in (theirs, ours))
        assert [(m.step, m.value) for m in before] == [(m.step, m.value) for m in after]
        rows = next((services.home / "artifacts").rglob("test_rows.parquet"))
        output = other.home / "scored.parquet"
        scored = subprocess.run(
            [BIN / "dagmm", "score", str(rows), str(output), "--json"],
            env=other.client | {"DAGMM_HOME": str(other.home / "client")},
            capture_output=True,
            text=True,
        )
        assert scored.returncode == 0, scored.stderr
        assert json.loads(scored.stdout)["model"] == "models:/dagmm-wdbc/1"


def test_an_incomplete_backup_is_refused(services, tmp_path):
    (tmp_path / "mlflow.dump").touch()
    refused = services.run("restore", str(tmp_path))
    assert refused.returncode == 2
    assert "prefect.dump" in refused.stderr


def test_a_taken_port_is_named(tmp_path):
    import socket

    with set_up(BIN / "dagmm") as made, socket.socket() as taken:
        taken.bind(("127.0.0.1", int(made.environment["DAGMM_POSTGRES_PORT"])))
        taken.listen()
        refused = made.run("run")
    assert refused.returncode == 3
    assert "Address already in use" in refused.stderr


def test_sigterm_stops_all_of_them(services):
    assert services.stop() == 0
    assert not any(services.status().values())
    remaining = [
        p.info["cmdline"]
        for p in psutil.process_iter(["cmdline"])
        if str(services.home) in " ".join(p.info["cmdline"] or [])
    ]
    assert not remaining, remaining


def test_restarting_keeps_everything(services, trained, monkeypatch):
    services.start()
    registry = _registry(services, monkeypatch)
    assert registry.get_run(trained["registration"]["run_id"]).info.status == "FINISHED"
    assert Path(services.home / "artifacts").exists()
