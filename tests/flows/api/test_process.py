"""`dagmm api` as a process: what it says, how it ends, what keeps it from starting."""

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from flows.common.settings import Settings
from flows.services.servers import OPENER, free_port
from flows.tracking import tracking
from tests.flows.api.conftest import bundle_file
from tests.flows.promotion.conftest import flip

NAME = "dagmm-wdbc"


def read_event(process: subprocess.Popen) -> dict:
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return json.loads(line)


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_it_serves_until_it_is_told_to_end_and_frees_its_port(two_versions, dagmm_process):
    port = free_port()
    server = dagmm_process("api", NAME, "--port", port, "--json")
    try:
        said = read_event(server)
        assert (said["event"], said["model"]) == ("serving", f"models:/{NAME}/2")
        assert said["url"] == f"http://127.0.0.1:{port}"
        with OPENER.open(f"{said['url']}/ready", timeout=10) as answer:
            assert json.load(answer)["ready"]
        # Two on one port: the second says so at once, and the first goes on.
        code, _, err = ended(dagmm_process("api", NAME, "--port", port))
        assert code == 3
        assert f"port {port} of 127.0.0.1 cannot be used" in err
        assert "Traceback" not in err
        # Two on two ports serve the same home.
        other = dagmm_process("api", NAME, "--port", 0, "--json")
        try:
            assert read_event(other)["model"] == f"models:/{NAME}/2"
        finally:
            other.kill()
            other.wait()
        server.send_signal(signal.SIGTERM)
        code, out, err = ended(server)
        assert (code, json.loads(out)["event"]) == (0, "stopped")
        assert "Traceback" not in err
    finally:
        server.kill()
        server.wait()
    again = dagmm_process("api", NAME, "--port", port)
    try:
        assert again.stdout.readline().startswith("Serving    models:/dagmm-wdbc/2 at ")
        again.send_signal(signal.SIGKILL)
        again.wait(30)
        last = dagmm_process("api", NAME, "--port", port, "--json")
        try:
            assert read_event(last)["event"] == "serving"
            last.send_signal(signal.SIGINT)
            assert ended(last)[0] == 0
        finally:
            last.kill()
    finally:
        again.kill()


def test_a_request_under_way_is_answered_before_the_end(two_versions, dagmm_process):
    server = dagmm_process("api", NAME, "--port", 0, "--json")
    try:
        url = read_event(server)["url"]
        with OPENER.open(f"{url}/openapi.json", timeout=10) as answer:
            body = json.load(answer)["paths"]["/score"]["post"]["requestBody"]
        row = body["content"]["application/json"]["example"]["rows"][0]
        rows = json.dumps([row] * 5000).encode()
        host, _, port = url.removeprefix("http://").partition(":")
        import http.client

        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.request("POST", "/score", rows, {"Content-Type": "application/json"})
        server.send_signal(signal.SIGTERM)
        answer = connection.getresponse()
        assert answer.status == 200
        assert len(json.load(answer)["rows"]) == 5000
        assert ended(server)[0] == 0
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "said"),
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
    two_versions, dagmm, monkeypatch, arguments, environment, code, said
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = dagmm("api", *arguments, *(() if "--port" in arguments else ("--port", "0")))
    assert (found.code, found.out) == (code, "")
    assert said in found.err
    assert "Traceback" not in found.err


def test_an_absent_registry_is_said(dagmm, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    found = dagmm("api", NAME, "--port", "0")
    assert found.code == 3
    assert "does not answer" in found.err


def test_one_that_waits_waits_for_the_registry_too(dagmm_process):
    away = f"http://127.0.0.1:{free_port()}"
    server = dagmm_process("api", NAME, "--port", 0, "--wait", "--json", MLFLOW_TRACKING_URI=away)
    try:
        said = read_event(server)
        assert said["event"] == "waiting"
        assert "Max retries exceeded" in said["why"]
        with pytest.raises(urllib.error.HTTPError, match="503"):
            OPENER.open(f"{said['url']}/ready", timeout=10)
        server.send_signal(signal.SIGTERM)
        assert ended(server)[0] == 0
    finally:
        server.kill()


def test_a_damaged_version_is_not_begun_with(two_versions, dagmm):
    flip(bundle_file(tracking.connect(Settings()), 2))  # of this test's copy of the store
    found = dagmm("api", NAME, "--port", "0")
    assert found.code == 2
    assert "not those that were registered" in found.err


def test_one_that_waits_serves_as_soon_as_there_is_a_version(two_versions, registry, dagmm_process):
    registry.delete_registered_model_alias(NAME, "production")
    server = dagmm_process("api", NAME, "--port", 0, "--poll", "0.1", "--wait", "--json")
    try:
        said = read_event(server)
        assert said["event"] == "waiting"
        assert "alias" in said["why"]
        with pytest.raises(urllib.error.HTTPError, match="503"):
            OPENER.open(f"{said['url']}/ready", timeout=10)
        registry.set_registered_model_alias(NAME, "production", "1")
        deadline = time.monotonic() + 60
        while True:
            try:
                with OPENER.open(f"{said['url']}/ready", timeout=10) as answer:
                    assert json.load(answer)["model"] == f"models:/{NAME}/1"
                break
            except urllib.error.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        server.kill()
        server.wait()
