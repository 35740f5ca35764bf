"""Who is let in, and how much they may send."""

import gzip
import json
import select
import socket
import threading
import time
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import uvicorn

from flows.api import guard as guarding
from flows.api import server as serving
from flows.api.guard import TOKEN, Guard, guard_for
from flows.common.errors import UsageError
from flows.common.settings import Settings
from flows.services.servers import free_port
from flows.tracking import tracking
from tests.flows.api.conftest import listening, make, make_shared
from tests.waiting import until

SECRET = "correct horse battery"
JSON = {"Content-Type": "application/json"}


LOCK = Guard(SECRET, loopback=False, max_bytes=20_000)


@pytest.fixture
def locked(two_versions):
    api = make(Settings(), LOCK, max_rows=15)
    api.follower.step()
    return api


@pytest.fixture(scope="module")
def shut(store_with_two_versions):
    """The same, for all who are not let in."""
    return make_shared(store_with_two_versions, LOCK)


@pytest.fixture(scope="module")
def on_loopback(store_with_two_versions):
    """A server that asks nobody for a token."""
    return make_shared(store_with_two_versions)


def test_off_loopback_a_token_is_needed(monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    with pytest.raises(UsageError, match=f"needs a token: set {TOKEN}"):
        guard_for("0.0.0.0", 1, {}.get)
    with pytest.raises(UsageError, match="at least 16"):
        guard_for("0.0.0.0", 1, {TOKEN: "short"}.get)
    assert guard_for("0.0.0.0", 1, {TOKEN: SECRET}.get).token == SECRET
    assert guard_for("127.0.0.1", 1, {}.get).loopback


@pytest.mark.parametrize(
    "header", ["", SECRET, f"Basic {SECRET}", "Bearer ", f"Bearer {SECRET}x", "Bearer \xe9"]
)
@pytest.mark.parametrize("path", ["/score", "/invocations", "/metrics", "/openapi.json"])
def test_without_the_token_there_is_nothing_but_health(shut, header, path):
    headers = {"Authorization": header.encode("latin-1")} if header else {}
    ask = shut.http.get if path in ("/metrics", "/openapi.json") else shut.http.post
    answer = ask(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["message"].startswith("send the server's token")
    assert shut.http.get("/health").status_code == 200


def test_with_the_token_it_answers(locked):
    headers = {"Authorization": f"bearer {SECRET}"}
    rows = locked.rows()[:2]
    assert locked.http.post("/score", json=rows, headers=headers).status_code == 200
    assert b"dagmm_energy" in locked.http.get("/metrics", headers=headers).content


def test_what_is_wrong_is_said_to_who_has_the_token(locked):
    locked.client.delete_registered_model_alias("dagmm-wdbc", "production")
    locked.follower.step()
    assert locked.http.get("/ready").json()["trouble"] == "there is some; ask with the token"
    headers = {"Authorization": f"Bearer {SECRET}"}
    assert "alias" in locked.http.get("/ready", headers=headers).json()["trouble"]


def test_what_is_wrong_is_not_said_to_pages_of_others(api):
    api.client.delete_registered_model_alias("dagmm-wdbc", "production")
    api.follower.step()
    assert "alias" in api.http.get("/ready").json()["trouble"]
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        told = api.http.get("/ready", headers=headers).json()
        assert told["trouble"].startswith("there is some")


def test_an_address_is_said_without_its_password(two_versions, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:secret@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    api = make(Settings(), connect=tracking.client_of)
    api.follower.step()
    message = api.http.get("/ready").json()["trouble"]
    assert "127.0.0.1" in message
    assert "secret" not in message


def test_a_body_too_long_is_not_read_to_its_end(locked):
    headers = {"Authorization": f"Bearer {SECRET}", **JSON}
    answer = locked.http.post("/score", content=b"[" + b" " * 30_000, headers=headers)
    assert answer.status_code == 413
    assert "20,000 bytes are taken" in answer.json()["message"]
    read = []

    def endless():
        for _ in range(1000):
            read.append(1)
            yield b" " * 1000

    answer = locked.http.post("/score", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert "the body is longer" in answer.json()["message"]


def test_a_body_that_does_not_arrive_holds_no_connection_and_is_no_defect(locked, monkeypatch):
    monkeypatch.setattr(guarding, "BODY_SECONDS", 0.2)
    head = (
        "POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {SECRET}\r\nContent-Length: 1000\r\n\r\n["
    ).encode()
    with listening(locked, 60) as url:
        address = ("127.0.0.1", urlsplit(url).port)
        with socket.create_connection(address, timeout=30) as slow:
            slow.sendall(head)
            message = b"".join(iter(lambda: slow.recv(4096), b""))  # until the server hangs up
        assert message.startswith(b"HTTP/1.1 408 ")
        assert b"the body did not arrive" in message
        monkeypatch.setattr(guarding, "BODY_SECONDS", 30)
        with socket.create_connection(address, timeout=30) as leaving:
            leaving.sendall(head)
        until(lambda: counted(locked, "gone") == 1)
    assert counted(locked, "too slow") == 1
    assert counted(locked, "defect") is None


def test_a_connection_on_which_no_request_comes_is_closed(ready, monkeypatch):
    monkeypatch.setattr(serving, "HEAD_SECONDS", 1.5)
    begun = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    with listening(ready, 60) as url:
        address = ("127.0.0.1", urlsplit(url).port)
        silent, slow, again = (socket.create_connection(address, timeout=30) for _ in range(3))
        with silent, slow, again, closing(HTTPConnection(*address, timeout=30)) as busy:
            slow.sendall(begun)
            again.sendall(begun + b"\r\n" + begun)  # the second request is never completed
            busy.connect()
            held = busy.sock
            said = dict.fromkeys((silent, slow, again), b"")
            waiting, ended = list(said), time.monotonic() + 3.5
            # Looked at more than once, never at rest for long.
            while waiting or time.monotonic() < ended:
                busy.request("GET", "/health")
                assert busy.getresponse().read() == b'{"status":"ok"}'
                for connection in select.select(waiting, [], [], 0.05)[0]:
                    part = connection.recv(4096)
                    said[connection] += part
                    if not part:  # the server has hung up
                        waiting.remove(connection)
            assert busy.sock is held
            answers = [text.count(b"HTTP/1.1 200 ") for text in said.values()]
            assert answers == [0, 0, 1]


def test_what_takes_too_long_at_the_end_is_told_to_come_again(ready):
    with socket.create_server(("127.0.0.1", 0)) as bound:
        config = uvicorn.Config(
            ready.app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
        )
        server = serving.Server(config, lambda: None)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        with socket.create_connection(bound.getsockname(), timeout=30) as slow:
            slow.sendall(
                b"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: 1000\r\n\r\n["
            )
            until(lambda: server.server_state.tasks)
            server.should_exit = True
            message = b"".join(iter(lambda: slow.recv(4096), b""))
        thread.join()
    assert message.startswith(b"HTTP/1.1 503 ")
    assert b"the server ends: send the request again" in message
    assert server.cut_off == 1


def counted(api, reason: str) -> float | None:
    headers = {"Authorization": f"Bearer {SECRET}"}
    lines = api.http.get("/metrics", headers=headers).text.splitlines()
    start = f'dagmm_refused_requests_total{{reason="{reason}"}} '
    return next((float(line.removeprefix(start)) for line in lines if line.startswith(start)), None)


def test_a_compressed_body_is_refused_by_its_name(locked):
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Encoding": "gzip"}
    body = gzip.compress(json.dumps(locked.rows()[:2]).encode())
    answer = locked.http.post("/score", content=body, headers=headers)
    assert answer.status_code == 415
    assert "content encoding 'gzip'" in answer.json()["message"]


def test_too_many_rows_are_refused(locked):
    headers = {"Authorization": f"Bearer {SECRET}"}
    answer = locked.http.post("/score", json=locked.rows()[:16], headers=headers)
    assert answer.status_code == 413
    assert "--max-rows" in answer.json()["message"]


def test_a_web_page_does_not_reach_a_server_on_loopback_under_a_name_of_its_own(ready):
    rows = json.dumps(ready.rows()[:1])
    names = {"evil.example": 403, "an_other:80": 403, "[": 403, "": 403, "127.0.0.1.example": 403}
    own = {"localhost:8000": 200, "127.0.0.1:1": 200, "[::1]:80": 200, "LOCALHOST": 200}
    for host, status in (names | own).items():
        answer = ready.http.post("/score", content=rows, headers={**JSON, "Host": host})
        assert answer.status_code == status, host


@pytest.mark.parametrize("path", ["/score", "/invocations", "/metrics", "/openapi.json"])
def test_a_page_of_another_server_is_refused(on_loopback, path):
    """A browser sends text without a type unasked; its rows would count in metrics and shadow."""
    send = on_loopback.http.post if path in ("/score", "/invocations") else on_loopback.http.get
    given = {"content": json.dumps(on_loopback.rows()[:1])} if send == on_loopback.http.post else {}
    port = {"Host": "127.0.0.1:8000"}
    for page in ("http://evil.example", "null", "http://127.0.0.1:3000", "https://127.0.0.1:8000"):
        assert send(path, headers={**port, "Origin": page}, **given).status_code == 403, page
    own = {**port, "Origin": "http://127.0.0.1:8000"}
    assert send(path, headers=own, **given).status_code == 200
