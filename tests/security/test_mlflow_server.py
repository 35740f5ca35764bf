"""MLflow's pages answer to the owner of the home, and to no other user or page of the machine."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request

import psutil
import pytest

from flows.common.settings import Settings, make_private
from flows.services import servers
from flows.services.embedded import Home
from flows.services.pages import mlflow_server

SEARCH = "/api/2.0/mlflow/experiments/search?max_results=5"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A running server, and the login of its home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGMM_HOME", str(tmp_path_factory.mktemp("own") / "mlruns"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("DAGMM_MLFLOW_PORT", str(servers.free_port()))
        settings = Settings().model_copy(update={"mlflow_port": servers.free_port()})
        make_private(settings.home)
        auth = Home(settings).auth()
        with mlflow_server(settings, auth) as server:
            servers.wait_for(f"{server.address}/health", server.process, server.log)
            assert settings.mlflow_url == server.address
            yield server, auth


@pytest.fixture
def ask(running):
    """Status, text and headers of a request, without a login."""
    server, _ = running

    def request(path, body=None, *, method=None, **headers):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = urllib.request.Request(server.address + path, body, sent, method=method)
        try:
            with servers.OPENER.open(asked, timeout=60) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers

    return request


@pytest.fixture
def basic(running) -> str:
    """The login as MLflow's clients send it."""
    return "Basic " + base64.b64encode(running[1].encode()).decode()


@pytest.fixture
def cookie(running, ask) -> str:
    """What the browser keeps once the login was given."""
    status, _, headers = ask("/dagmm-login", running[1].encode())
    assert status == 204
    assert "HttpOnly; SameSite=Strict" in headers["set-cookie"]
    return headers["set-cookie"].partition(";")[0]


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/index.html", SEARCH, SEARCH.replace("/api/", "/ajax-api/"), "/graphql"),
        *("/static-files/favicon.ico", "/get-artifact?path=x&run_uuid=y", "/metrics", "//health"),
        "/api/2.0/mlflow-artifacts/artifacts?path=1",
        "/ajax-api/3.0/mlflow/assistant/config",
        "/health/../api/2.0/mlflow/experiments/search",
    ],
)
def test_nobody_sees_anything_without_the_login(ask, path, running):
    wrong = "Basic " + base64.b64encode(b"dagmm:guess").decode()
    name = f"dagmm-{running[0].address.rpartition(':')[2]}"
    for headers in (
        {},
        {"Authorization": wrong},
        {"Cookie": f"{name}=guess"},
        {"Cookie": name},
        {"Cookie": f'{name}="\xff'},
    ):
        status, text, _ = ask(path, **headers)
        assert status == 401
        assert "dagmm ui" in text
        assert "experiment" not in text


def test_what_the_door_answers_to_anybody_opens_nothing(ask, running, cookie):
    name, _, kept = cookie.partition("=")
    port = name.rpartition("-")[2]
    for challenge in ("cookie", f"cookie:{port}", port, "", running[1], kept, f"cookie%3A{port}"):
        status, answered, _ = ask(f"/dagmm-who?challenge={challenge}")
        assert (status, len(answered)) == (200, 64)
        assert answered != kept
        assert ask(SEARCH, Cookie=f"{name}={answered}")[0] == 401


@pytest.mark.parametrize("given", [b"", b"dagmm:", b"x" * 100_000, b"\xff\x00"])
def test_a_wrong_login_gets_no_cookie(ask, given):
    status, _, headers = ask("/dagmm-login", given)
    assert status in (200, 401)
    assert "set-cookie" not in headers


def test_the_owner_sees_everything(ask, basic, cookie):
    assert ask("/health")[0] == 200
    for login in ({"Authorization": basic}, {"Cookie": f"other=1; {cookie}; more=2"}):
        assert ask("/", **login)[1].startswith("<!doctype html>")
        assert json.loads(ask(SEARCH, **login)[1])["experiments"][0]["name"] == "Default"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_foreign_page_is_refused_even_with_the_login(ask, cookie, origin, method):
    body = json.dumps({"name": "attack"}).encode() if method == "POST" else None
    status, _, headers = ask(
        "/api/2.0/mlflow/experiments/create", body, method=method, Cookie=cookie, Origin=origin,
        Content_Type="application/json", Access_Control_Request_Method="POST",
    )  # fmt: skip
    assert status == 403
    assert headers["access-control-allow-origin"] is None
    assert "attack" not in ask(SEARCH, Cookie=cookie)[1]


def test_a_foreign_name_is_refused(ask, cookie):
    for path in ("/", "/health", "/dagmm-login"):
        assert ask(path, Cookie=cookie, Host="evil.example")[0] == 403


def test_mlflows_client_logs_in_by_the_environment(running, monkeypatch, tmp_path):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    server, auth = running
    client = MlflowClient(server.address, server.address)
    with pytest.raises(MlflowException, match="MLFLOW_TRACKING_PASSWORD"):
        client.search_experiments()
    user, _, password = auth.partition(":")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    run = client.create_run("0")
    client.log_text(run.info.run_id, "kept", "a/note.txt")
    actual = client.download_artifacts(run.info.run_id, "a/note.txt", str(tmp_path))
    assert open(actual).read() == "kept"  # noqa: PTH123, SIM115


def test_the_login_is_in_no_page_no_log_and_on_no_command_line(running, ask):
    server, auth = running
    secret = auth.partition(":")[2]
    assert secret not in ask("/dagmm-login")[1]
    assert secret not in server.log.read_text()
    leader = psutil.Process(server.process.pid)
    for process in (leader, *leader.children(recursive=True)):
        assert secret not in " ".join(process.cmdline())
