"""Runs that fail, and runs that nobody began: told by the run's own process, or by the server."""

import signal
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import yaml
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.states import Scheduled, State, StateType

from flows.common.errors import UsageError, Verdict
from flows.notify.config import read_notify
from flows.notify.failures import TOLD, run_failed
from flows.orchestration.automations import automate
from flows.services.servers import free_port
from tests.flows.notify.conftest import configure, http, smtp  # noqa: F401
from tests.waiting import until

TAG = "dagmm-file:told.yaml"


class Run:
    id, name = uuid4(), "grey-owl"

    def __init__(self, deployment=None):
        self.deployment_id = deployment


class Flow:
    def __init__(self, name="train"):
        self.name = name


def failed(error=None):
    """As Prefect gives it to the hook of a flow that raised an error, or whose process died."""
    if error is None:
        return State(type=StateType.FAILED, name="Failed", message="no rows")

    @flow
    def broken():
        raise error

    return broken(return_state=True)


def test_a_failed_run_of_a_deployment_is_told_with_its_page(
    configure,  # noqa: F811
    http,  # noqa: F811
    prefect_server,
    monkeypatch,
):
    verdict = failed(Verdict("beyond tolerance"))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    configure(("webhook", http.url))
    run_failed(Flow(), Run(), failed())
    run_failed(Flow("score"), Run(uuid4()), verdict)
    assert http.requests == [], "somebody sees it, or it is told as what it is"
    deployment = uuid4()
    run_failed(Flow(), Run(deployment), failed())
    (body,) = http.bodies
    assert (body["event"], body["reason"]) == ("run-failed", "run grey-owl: Failed: no rows")
    run_failed(Flow(), Run(deployment), failed())
    assert len(http.requests) == 1, "the next run fails in the same way"
    assert body["link"] == f"http://127.0.0.1:4200/runs/flow-run/{Run.id}"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UsageError("no registered model 'x'"), "Failed: no registered model 'x'"),
        (KeyError("x"), "Failed: Flow run encountered an exception: KeyError: 'x'"),
    ],
)
def test_an_error_is_told_in_its_own_words_and_a_defect_with_its_class(
    configure,  # noqa: F811
    http,  # noqa: F811
    prefect_server,
    error,
    said,
):
    configure(("webhook", http.url))
    run_failed(Flow(), Run(uuid4()), failed(error))
    assert http.bodies[0]["reason"] == f"run grey-owl: {said}"


def test_every_flow_tells(configure):  # noqa: F811
    from flows.orchestration.benchmark_flow import benchmark
    from flows.orchestration.monitor_flow import monitor
    from flows.orchestration.promote_flow import promote
    from flows.orchestration.score_flow import score
    from flows.orchestration.train_flow import train

    for each in (benchmark, monitor, promote, score, train):
        assert each.on_failure_hooks == TOLD["on_failure"]
        assert each.on_crashed_hooks == TOLD["on_crashed"]


@pytest.fixture
def late(prefect_server):
    """Has the server take a run of a deployment for late."""

    @flow
    def nothing():
        pass

    def make(client, name="told"):
        flow_id = client.create_flow(nothing)
        deployment = client.create_deployment(flow_id, name, tags=[TAG])
        run = client.create_flow_run_from_deployment(deployment)
        state = State(type=StateType.SCHEDULED, name="Late")
        client.set_flow_run_state(run.id, state, force=True)
        return run

    return make


def test_a_late_run_is_told_by_the_server(configure, http, late):  # noqa: F811
    settings = configure(
        ("webhook", http.url), ("slack", http.url), ("email", "mailto://x"),
        ("webhook", http.url, {"events": ["drift"]}),
    )  # fmt: skip
    with get_client(sync_client=True) as client:
        for _ in range(2):  # the second time changes nothing
            names = automate(client, read_notify(settings), TAG, ["dagmm"])
        assert names == [f"dagmm: run missed ({TAG})", "dagmm: work pool dagmm is down"]
        (automation,) = client.read_automations_by_name(names[0])
        assert len(automation.actions) == 2
        assert http.url not in automation.model_dump_json()
        runs, deadline = [], time.monotonic() + 300
        while len(http.requests) < 2:  # of a run before the server takes up the automation: none
            assert time.monotonic() < deadline, http.requests
            runs.append(late(client))
            told = time.monotonic() + 5
            while len(http.requests) < 2 and time.monotonic() < told:
                time.sleep(0.2)
        plain = next(body for body in http.bodies if "event" in body)
        assert plain["event"] == "run-missed"
        (told,) = [r for r in runs if r.name in plain["title"]]
        assert plain["message"].endswith(f"/runs/flow-run/{told.id}")
        late(client)  # the same deployment again: no news
        other = late(client, "other")
        until(lambda: any(other.name in b.get("title", "") for b in http.bodies), pause=0.2)
        assert {b["title"].split()[1][:-1] for b in http.bodies if "event" in b} == {
            told.name,
            other.name,
        }
        assert any(set(body) == {"text"} for body in http.bodies)
        (settings.home / "notify.yaml").unlink()
        assert automate(client, read_notify(settings), TAG, ["dagmm"]) == []
        assert client.read_automations_by_name(names[0]) == []


@pytest.mark.slow
def test_a_served_schedule_tells_of_what_fails_and_its_server_of_what_is_missed(
    home,
    dagmm_process,
    http,  # noqa: F811
    smtp,  # noqa: F811
    tmp_path,
):
    """`dagmm serve` with a source that is not there, as a user runs it."""
    targets = [
        {"name": "hook", "kind": "webhook", "url": "HOOK"},
        {"name": "mail", "kind": "email", "url": "MAIL"},
    ]
    (home / "notify.yaml").write_text(yaml.safe_dump({"notify": {"targets": targets}}))
    often = {
        "name": "often",
        "entrypoint": "flows/orchestration/score_flow.py:score",
        "parameters": {"source": "none.csv", "output": "out.csv", "model": "models:/none/1"},
        "schedules": [{"interval": 15}],
        "concurrency_limit": {"limit": 1},
    }
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"deployments": [often]}))
    url = f"http://127.0.0.1:{(port := free_port())}"
    own = {"PREFECT_API_URL": "", "DAGMM_PREFECT_PORT": str(port)}
    process = dagmm_process("serve", "--file", "p.yaml", HOOK=http.url, MAIL=smtp.url, **own)
    try:
        until(lambda: http.requests and smtp.letters, process)
        (failed,), (letter,) = http.bodies, [each for *_, each in smtp.letters]
        assert (failed["event"], failed["subject"]) == ("run-failed", "flow score")
        assert "no version 1 of model 'none'" in failed["message"]
        assert failed["link"].startswith(f"{url}/runs/flow-run/")
        assert failed["link"] in letter.get_body(("plain",)).get_content()
        login = (home / "prefect" / "login").read_text().strip()
        tomorrow = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
        with SyncPrefectClient(f"{url}/api", auth_string=login) as client:
            deployment = client.read_deployment_by_name("score/often").id
            missed = client.create_flow_run_from_deployment(deployment, state=tomorrow)
            late = State(type=StateType.SCHEDULED, name="Late")
            client.set_flow_run_state(missed.id, late, force=True)
        until(lambda: len(http.requests) > 1, process)
        body = http.bodies[1]
        assert (body["event"], missed.name in body["title"]) == ("run-missed", True)
        assert body["message"].endswith(f"{url}/runs/flow-run/{missed.id}")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
