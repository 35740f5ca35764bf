"""`dagmm api` as a process: what it says, how it ends, what keeps it from starting."""

import http.client
import json
import os
import signal
import urllib.error
import urllib.request
from contextlib import suppress
from threading import Thread

import psutil
import pytest

from flows.api.run import ServerOptions, serve
from flows.api.telemetry.log_lines import Events
from flows.common.errors import UsageError
from flows.common.settings import Settings
from flows.services.servers import OPENER, free_port
from flows.tracking import tracking
from tests.flows import forked
from tests.flows.api.conftest import beside, bundle_file
from tests.flows.promotion.conftest import flip
from tests.waiting import until

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


def test_who_has_connected_when_it_ends_gets_an_answer(two_versions, running):
    """Also a connection that only the kernel has accepted so far: it is not reset."""
    with running(NAME, "--port", 0, "--json") as server:
        host, _, port = read_event(server)["url"].removeprefix("http://").partition(":")
        server.send_signal(signal.SIGSTOP)
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.request("GET", "/health")
        server.send_signal(signal.SIGTERM)
        server.send_signal(signal.SIGCONT)
        assert connection.getresponse().status in (200, 503)
        assert server.ended()[0] == 0


@pytest.mark.parametrize(
    "end", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_what_scores_beside_the_server_is_replaced_and_ends_with_it(two_versions, running, end):
    with running(NAME, "--port", 0, "--processes", 2, "--json") as server:
        url = read_event(server)["url"]
        with OPENER.open(f"{url}/openapi.json", timeout=60) as answer:
            body = json.load(answer)["paths"]["/score"]["post"]["requestBody"]
        row = body["content"]["application/json"]["example"]["rows"][0]
        rows = json.dumps([row] * 500).encode()
        seen: list = []

        def ask() -> None:
            request = urllib.request.Request(
                f"{url}/score", data=rows, headers={"Content-Type": "application/json"}
            )
            while True:
                try:
                    with OPENER.open(request, timeout=60) as answer:
                        seen.append(len(json.load(answer)["rows"]))
                except OSError as error:
                    seen.append(error)
                    return

        def counts(figure: str) -> bool:
            with OPENER.open(f"{url}/metrics", timeout=60) as answer:
                return f"dagmm_{figure}\n" in answer.read().decode()

        clients = [Thread(target=ask, daemon=True) for _ in range(3)]
        for client in clients:
            client.start()
        for lost in (1.0, 2.0):
            until(lambda: counts("scoring_processes 2.0"))
            beside(server.process.pid)[0].kill()
            until(lambda lost=lost: counts(f"lost_processes_total {lost}"))
        until(lambda: counts("scoring_processes 2.0"))
        last = beside(server.process.pid)
        assert set(seen) == {500}
        server.send_signal(end)
        for client in clients:
            client.join()
        assert psutil.wait_procs(last, timeout=60)[1] == []
        if end == signal.SIGTERM:
            assert server.ended()[0] == 0
            refused = [str(each) for each in seen if each != 500]
            told = ("HTTP Error 503", "Connection refused")
            assert len(refused) == 3
            assert all(any(text in each for text in told) for each in refused), refused


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
        assert (
            message["why"] == f"{away.removeprefix('http://')} does not answer: Connection refused"
        )
        with pytest.raises(urllib.error.HTTPError, match="503"):
            OPENER.open(f"{message['url']}/ready", timeout=10)
        server.send_signal(signal.SIGTERM)
        assert server.ended()[0] == 0


def test_a_damaged_version_is_not_begun_with(two_versions, dagmm):
    flip(bundle_file(tracking.connect(Settings()), 2))  # of this test's copy of the store
    actual = dagmm("api", NAME, "--port", "0")
    assert actual.code == 2
    assert f"Error: models:/{NAME}/2 is not used: its files are not those" in actual.err


def test_one_that_waits_serves_as_soon_as_there_is_a_version(two_versions, registry, running):
    registry.delete_registered_model_alias(NAME, "production")
    with running(NAME, "--port", 0, "--poll", "0.1", "--wait", "--json") as server:
        message = read_event(server)
        assert message["event"] == "waiting"
        assert "alias" in message["why"]
        with pytest.raises(urllib.error.HTTPError, match="503"):
            OPENER.open(f"{message['url']}/ready", timeout=10)
        registry.set_registered_model_alias(NAME, "production", "1")
        switched = read_event(server)
        assert (switched["event"], switched["model"]) == ("switched", f"models:/{NAME}/1")

        def ready() -> dict:
            with suppress(urllib.error.HTTPError), OPENER.open(f"{message['url']}/ready") as answer:
                return json.load(answer)
            return {}

        assert until(ready)["model"] == f"models:/{NAME}/1"
