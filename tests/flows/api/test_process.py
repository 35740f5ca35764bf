"""`dagmm api` as a process: what it says, how it ends, what keeps it from starting."""

import http.client
import json
import os
import signal
import time
import urllib.error
import urllib.request
from threading import Barrier, current_thread

import pytest

from dagmm_model.base.processors import blas_threads, processors
from flows.api.run import ServerOptions, scoring_threads, serve
from flows.api.telemetry.news import Events
from flows.common.errors import UsageError
from flows.common.settings import Settings
from flows.services.servers import OPENER, free_port
from flows.tracking import tracking
from tests.flows import forked
from tests.flows.api.conftest import bundle_file
from tests.flows.promotion.conftest import flip

NAME = "dagmm-wdbc"


def read_event(server) -> dict:
    line = server.stdout.readline()
    assert line
    return json.loads(line)


@pytest.fixture
def running(home, tmp_path):
    """A server in a process that has imported everything already."""
    folders = (tmp_path / f"server{number}" for number in range(9))

    def start(*arguments, **environment: str):
        return forked.running(("api", *arguments), os.environ | environment, next(folders))

    return start


def test_requests_are_scored_on_as_many_threads_as_there_are_processors():
    available = len(os.sched_getaffinity(0))
    with blas_threads().limit(limits=available), scoring_threads() as pool:
        together = Barrier(available, timeout=60)
        work = [
            pool.submit(lambda: (together.wait(), current_thread())[1])
            for _ in range(8 * available)
        ]
        assert len({done.result() for done in work}) == available
        assert processors() == 1, "each of them has one thread of the BLAS library"


def test_it_serves_until_it_is_told_to_end_and_leaves_nothing_behind(
    two_versions, dagmm, dagmm_process, running
):
    port = free_port()
    server = dagmm_process("api", NAME, "--port", port, "--json")
    try:
        message = read_event(server)
        assert (message["event"], message["model"]) == ("serving", f"models:/{NAME}/2")
        assert message["url"] == f"http://127.0.0.1:{port}"
        with OPENER.open(f"{message['url']}/ready", timeout=10) as answer:
            assert json.load(answer)["ready"]
        # Two on one port: the second says so at once, and the first goes on.
        refused = dagmm("api", NAME, "--port", port)
        assert refused.code == 3
        assert f"port {port} of 127.0.0.1 cannot be used" in refused.err
        assert "Traceback" not in refused.err
        # Two on two ports serve the same home; what is killed frees its port.
        with running(NAME, "--port", 0) as other:
            line = other.stdout.readline()
            assert line.startswith(f"Serving    models:/{NAME}/2 at http://127.0.0.1:")
        freed = line.rpartition(":")[2].strip()
        with running(NAME, "--port", freed, "--json") as again:
            assert read_event(again)["url"].endswith(f":{freed}")
            again.send_signal(signal.SIGINT)
            stopped = again.ended()
        server.send_signal(signal.SIGTERM)
        out, err = server.communicate(timeout=600)
        for code, message, errors in (stopped, (server.returncode, out, err)):
            assert (code, json.loads(message)["event"]) == (0, "stopped")
            assert "Traceback" not in errors
    finally:
        server.kill()
        server.wait()


def test_a_request_under_way_is_answered_before_the_end(two_versions, running):
    with running(NAME, "--port", 0, "--json") as server:
        url = read_event(server)["url"]
        with OPENER.open(f"{url}/openapi.json", timeout=60) as answer:
            body = json.load(answer)["paths"]["/score"]["post"]["requestBody"]
        row = body["content"]["application/json"]["example"]["rows"][0]
        rows = json.dumps([row] * 5000).encode()
        host, _, port = url.removeprefix("http://").partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.request("POST", "/score", rows, {"Content-Type": "application/json"})
        server.send_signal(signal.SIGTERM)
        answer = connection.getresponse()
        assert answer.status == 200
        assert len(json.load(answer)["rows"]) == 5000
        assert server.ended()[0] == 0


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "message"),
    [
        (("nosuch",), {}, 2, "no registered model 'nosuch'; registered models: dagmm-wdbc"),
        ((f"{NAME}@best",), {}, 2, "has the alias 'best'"),
        ((f"{NAME}/9",), {}, 2, "no version 9"),
        ((NAME, "--host", "0.0.0.0"), {}, 2, "needs a token: set DAGMM_API_TOKEN"),
        ((NAME, "--host", "no.such.host.invalid"), {"DAGMM_API_TOKEN": "x" * 32}, 2, "--host"),
        ((NAME, "--port", "70000"), {}, 2, "--port"),
    ],
    ids=["model", "alias", "version", "token", "host", "port"],
)
def test_what_keeps_it_from_starting_is_one_sentence(
    two_versions, dagmm, monkeypatch, arguments, environment, code, message
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    actual = dagmm("api", *arguments, *(() if "--port" in arguments else ("--port", "0")))
    assert (actual.code, actual.out) == (code, "")
    assert message in actual.err
    assert "Traceback" not in actual.err


def test_a_key_that_cannot_be_used_keeps_it_from_starting(home, monkeypatch):
    """Said of the setting, not of every version: nothing is asked of the registry before."""
    pytest.importorskip("model_signing", reason="the extra `signing` is not installed")
    monkeypatch.setenv("DAGMM_TRUSTED_KEYS", "/no/such/key.pub")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UsageError, match=r"DAGMM_TRUSTED_KEYS /no/such/key\.pub"):
        serve(NAME, Settings(), ServerOptions(port=0), Events(as_json=True))


def test_an_absent_registry_is_said(dagmm, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    actual = dagmm("api", NAME, "--port", "0")
    assert actual.code == 3
    assert "does not answer" in actual.err


def test_one_that_waits_waits_for_the_registry_too(running):
    away = f"http://127.0.0.1:{free_port()}"
    with running(NAME, "--port", 0, "--wait", "--json", MLFLOW_TRACKING_URI=away) as server:
        message = read_event(server)
        assert message["event"] == "waiting"
        assert "Max retries exceeded" in message["why"]
        with pytest.raises(urllib.error.HTTPError, match="503"):
            OPENER.open(f"{message['url']}/ready", timeout=10)
        server.send_signal(signal.SIGTERM)
        assert server.ended()[0] == 0


def test_a_damaged_version_is_not_begun_with(two_versions, dagmm):
    flip(bundle_file(tracking.connect(Settings()), 2))  # of this test's copy of the store
    actual = dagmm("api", NAME, "--port", "0")
    assert actual.code == 2
    assert "not those that were registered" in actual.err


def test_one_that_waits_serves_as_soon_as_there_is_a_version(two_versions, registry, running):
    registry.delete_registered_model_alias(NAME, "production")
    with running(NAME, "--port", 0, "--poll", "0.1", "--wait", "--json") as server:
        message = read_event(server)
        assert message["event"] == "waiting"
        assert "alias" in message["why"]
        with pytest.raises(urllib.error.HTTPError, match="503"):
            OPENER.open(f"{message['url']}/ready", timeout=10)
        registry.set_registered_model_alias(NAME, "production", "1")
        deadline = time.monotonic() + 300
        while True:
            try:
                with OPENER.open(f"{message['url']}/ready", timeout=10) as answer:
                    assert json.load(answer)["model"] == f"models:/{NAME}/1"
                break
            except urllib.error.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
