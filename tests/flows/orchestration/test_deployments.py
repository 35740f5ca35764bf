"""Schedules on a real Prefect server: applied, applied again, served, fired."""

import signal
import time

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.events import Event

from flows.orchestration import deployments
from flows.orchestration.definitions import DEFINITIONS, flow_behind, read_definitions
from flows.orchestration.monitor_flow import DRIFT
from flows.services.servers import free_port
from tests.waiting import until


def test_deploy_sets_schedules_and_limits(dagmm, ask):
    outcome = dagmm("deploy", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["deployments"] == [
        "train/nightly",
        "promote/by-hand",
        "score/hourly",
        "monitor/daily",
        "benchmark/weekly",
    ]
    shipped = {"deployments": {"tags": {"all_": [deployments.tag_of(DEFINITIONS.resolve())]}}}
    actual = ask("/deployments/filter", shipped)
    by_name = {item["name"]: item for item in actual}
    assert sorted(by_name) == ["by-hand", "daily", "hourly", "nightly", "weekly"]
    nightly = by_name["nightly"]
    assert nightly["schedules"][0]["schedule"]["cron"] == "0 2 * * *"
    assert nightly["global_concurrency_limit"]["limit"] == 1
    assert nightly["parameters"]["config"]["dataset"] == "wdbc"
    for name in ("hourly", "daily"):
        assert by_name[name]["schedules"][0]["active"] is False


def test_the_shipped_automation_starts_a_training_on_drift_once_a_day(dagmm, ask, tmp_path):
    """The server's own: two events of a drifted model, and one of another model's."""
    shipped = yaml.safe_load(DEFINITIONS.read_text())["deployments"][0]
    assert [trigger["enabled"] for trigger in shipped["triggers"]] == [False]
    model = f"dagmm-{tmp_path.name}"
    trigger = shipped["triggers"][0] | {
        "name": f"drift of {model}",
        "enabled": True,
        "match": {"prefect.resource.id": f"dagmm.model.{model}"},
    }
    name = {"name": f"on-drift-{tmp_path.name}", "triggers": [trigger], "schedules": []}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"deployments": [shipped | name]}))
    assert dagmm("deploy", "--file", "p.yaml").code == 0
    made = ask("/automations/filter", {"automations": {"name": {"any_": [trigger["name"]]}}})
    assert len(made) == 1

    def tell(of: str) -> None:
        resource = {"prefect.resource.id": f"dagmm.model.{of}"}
        with get_client(sync_client=True) as client:
            event = Event(event=DRIFT, resource=resource).model_dump(mode="json")
            client.request("POST", "/events", json=[event])

    def runs() -> list:
        return ask("/flow_runs/filter", {"deployments": {"name": {"any_": [name["name"]]}}})

    deadline = time.monotonic() + 60
    tell(f"other-{model}")
    while not runs():
        assert time.monotonic() < deadline
        tell(model)
        time.sleep(0.5)
    tell(model)
    time.sleep(2)
    assert len(runs()) == 1
    assert runs()[0]["created_by"]["type"] == "AUTOMATION"


def test_deploy_without_a_server_says_what_to_do(dagmm, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "")
    outcome = dagmm("deploy")
    assert outcome.code == 2
    assert "dagmm serve" in outcome.err


def test_the_file_is_the_truth(dagmm, ask, tmp_path):
    """What it still has stays as it is; what it no longer has is removed, and said; what another
    file made stays."""
    path = tmp_path / "p.yaml"

    kept = {"kept": [{"cron": "0 4 * * *", "slug": "four"}]}

    def write(**schedules: list) -> None:
        entries = [
            {
                "name": name,
                "entrypoint": "flows/training.py:train",  # as the first version wrote it
                "parameters": {"config": {"dataset": "wdbc"}},
                "work_pool": {"name": "truth"},
                "concurrency_limit": 2,
                "schedules": each,
            }
            for name, each in (schedules | kept).items()
        ]
        path.write_text(yaml.safe_dump({"deployments": entries}))

    def whole(name: str) -> dict:
        (item,) = ask("/deployments/filter", {"deployments": {"name": {"any_": [name]}}})
        changing = ("updated", "last_polled", "status")
        schedules = [(s["schedule"], s["slug"], s["active"]) for s in item["schedules"]]
        limit = item["global_concurrency_limit"]["limit"]
        return {k: v for k, v in item.items() if k not in (*changing, "schedules")} | {
            "schedules": schedules,
            "global_concurrency_limit": limit,
        }

    def actual() -> dict[str, list]:
        names = {"deployments": {"name": {"any_": ["truth", "dropped", "others"]}}}
        return {
            item["name"]: [(s["schedule"]["cron"], s["slug"]) for s in item["schedules"]]
            for item in ask("/deployments/filter", names)
        }

    write(truth=[{"cron": "0 2 * * *", "slug": "two"}], dropped=[{"cron": "0 5 * * *"}])
    first = dagmm("deploy", "--file", "p.yaml", "--json")  # relative to where we are
    assert (first.code, first.json["removed"]) == (0, []), first.err
    before = whole("kept")
    assert before["global_concurrency_limit"] == 2
    flow_behind("flows/training.py:train").to_deployment(
        "others", cron="0 1 * * *", tags=[deployments.tag_of(tmp_path / "other.yaml")]
    ).apply()
    write(truth=[{"cron": "0 3 * * *", "slug": "three"}])
    removed = sorted(dagmm("deploy", "--file", path, "--json").json["removed"])
    assert removed == [
        "Removed    schedule two (0 2 * * *) of train/truth: not in p.yaml",
        "Removed    train/dropped: no longer in p.yaml",
    ]
    assert whole("kept") == before
    assert actual() == {"truth": [("0 3 * * *", "three")], "others": [("0 1 * * *", None)]}
    write(truth=[])
    with get_client(sync_client=True) as client:
        assert list(deployments.remove_others(client, read_definitions(path), path))
    assert actual() == {"truth": [], "others": [("0 1 * * *", None)]}


def test_a_file_without_a_pool_is_refused_for_workers(dagmm, prefect_server, tmp_path):
    entry = {"name": "x", "entrypoint": "flows/training.py:train"}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"deployments": [entry]}))
    outcome = dagmm("deploy", "--file", "p.yaml")
    assert outcome.code == 2
    assert "work_pool" in outcome.err


@pytest.fixture
def serve(dagmm_process, tmp_path):
    """`dagmm serve` with one deployment, whose training is that long and begins at once."""

    def start(epochs: int):
        config = {
            "dataset": "wdbc",
            "detector": {"settings": {"epochs": epochs, "members": 1}},
            "promotion": {"serving_check": False},
        }
        often = {
            "name": "often",
            "entrypoint": "flows/training.py:train",
            "parameters": {"config": config},
            "schedules": [{"interval": 15}],
            "concurrency_limit": {"limit": 1},
        }
        file = tmp_path / "prefect.yaml"
        file.write_text(yaml.safe_dump({"deployments": [often]}))
        port = str(free_port())
        return dagmm_process(
            "serve", "--file", str(file), PREFECT_API_URL="", DAGMM_PREFECT_PORT=port
        )

    return start


@pytest.mark.slow
def test_a_served_schedule_fires_and_its_run_completes(serve, home, registry):
    process = serve(epochs=5)
    try:
        until(lambda: registry.search_model_versions("name='dagmm-wdbc'"), process, pause=1)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert (home / "prefect" / "prefect.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_served_training_is_closed_before_the_schedules_end(serve, registry, which):
    def run():
        experiment = registry.get_experiment_by_name("dagmm-wdbc")
        runs = experiment and registry.search_runs([experiment.experiment_id])
        return runs and runs[0]

    process = serve(epochs=100_000)
    try:
        until(lambda: (begun := run()) and begun.data.metrics, process, pause=1)
    finally:
        process.send_signal(which)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert "never awaited" not in err
    assert run().info.status == "KILLED", (run().data.tags, out, err)
