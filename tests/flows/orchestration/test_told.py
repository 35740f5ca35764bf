"""Runs that fail, and runs that nobody began: told by the run's own process, or by the server."""

import time
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import State, StateType

from flows.common.errors import Verdict
from flows.notify.config import read_notify
from flows.orchestration.automations import automate
from flows.orchestration.failures import TOLD, run_failed
from tests.flows.notify.conftest import configure, http  # noqa: F401

TAG = "dagmm-file:told.yaml"


class Run:
    id, name = uuid4(), "grey-owl"

    def __init__(self, deployment=None):
        self.deployment_id = deployment


class Flow:
    def __init__(self, name="train"):
        self.name = name


def failed(error=None):
    return State(type=StateType.FAILED, name="Failed", message="no rows", data=error)


def test_a_failed_run_of_a_deployment_is_told_with_its_page(configure, http, monkeypatch):  # noqa: F811
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    configure(("webhook", http.url))
    run_failed(Flow(), Run(), failed())
    run_failed(Flow("score"), Run(uuid4()), failed(Verdict("beyond tolerance")))
    assert http.requests == [], "somebody sees it, or it is told as what it is"
    deployment = uuid4()
    run_failed(Flow(), Run(deployment), failed())
    (body,) = http.bodies
    assert (body["event"], body["reason"]) == ("run-failed", "run grey-owl: Failed: no rows")
    run_failed(Flow(), Run(deployment), failed())
    assert len(http.requests) == 1, "the next run fails in the same way"
    assert body["link"] == f"http://127.0.0.1:4200/runs/flow-run/{Run.id}"


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

    def make(client):
        flow_id = client.create_flow(nothing)
        deployment = client.create_deployment(flow_id, "told", tags=[TAG])
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
        assert any(r.name in plain["title"] and str(r.id) in plain["message"] for r in runs)
        assert any(set(body) == {"text"} for body in http.bodies)
        (settings.home / "notify.yaml").unlink()
        assert automate(client, read_notify(settings), TAG, ["dagmm"]) == []
        assert client.read_automations_by_name(names[0]) == []
