"""The Prefect server of a home answers to its owner, and to no page that a browser shows."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import urllib.error
import urllib.request

import psutil
import pytest

from flows.common.settings import Settings, embed_services
from flows.services import servers
from flows.services.door import is_own
from flows.services.embedded import Home, prefect_server
from tests.flows.conftest import QUICK_PREFECT

OTHERS = ("http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def server(tmp_path_factory, prefect_tables):
    """A running server and its login."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGMM_HOME", str(tmp_path_factory.mktemp("own") / "mlruns"))
        patch.setenv("PREFECT_API_URL", "")
        patch.delenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", raising=False)
        settings = Settings()
        embed_services(settings)
        shutil.copy(prefect_tables, Home(settings).folder / "prefect.db")
        for name, value in QUICK_PREFECT.items():
            patch.setenv(name, value)
        with prefect_server(settings) as running:
            yield running, Home(settings)
        os.environ.pop("PREFECT_SERVER_DATABASE_CONNECTION_URL", None)


@pytest.fixture
def ask(server):
    """Status, text and headers of a request; with the login unless told otherwise."""
    running, home = server

    def request(path, body=None, *, login=True, method=None, **headers):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if login:
            sent["Authorization"] = "Basic " + base64.b64encode(home.auth().encode()).decode()
        if body is not None:
            sent["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(running.url + path, data, sent, method=method)
        try:
            with servers.OPENER.open(asked, timeout=60) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers

    return request


def test_the_api_wants_the_login(ask):
    assert ask("/api/deployments/filter", {})[0] == 200
    assert ask("/api/deployments/filter", {}, login=False)[0] == 401
    assert ask("/api/admin/settings", login=False)[0] == 401
    wrong = "Basic " + base64.b64encode(b"dagmm:guess").decode()
    assert ask("/api/deployments/filter", {}, login=False, Authorization=wrong)[0] == 401


@pytest.mark.parametrize("origin", OTHERS)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_foreign_page_is_refused_even_with_the_login(ask, server, origin, method):
    origin = origin.format(port=server[0].port)
    status, _, headers = ask(
        "/api/flows/", {"name": "attack"} if method == "POST" else None,
        method=method, Origin=origin, Access_Control_Request_Method="POST",
    )  # fmt: skip
    assert status == 403
    assert headers["access-control-allow-origin"] is None
    assert ask("/api/flows/filter", {"flows": {"name": {"any_": ["attack"]}}})[1] == "[]"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example"])
def test_a_foreign_name_is_refused(ask, server, host):
    for path in ("/", "/api/health", "/ui-settings", "/dagmm-login", "/dagmm-who"):
        assert ask(path, Host=host.format(port=server[0].port))[0] == 403


def test_its_own_pages_may_ask(ask, server):
    for name in ("127.0.0.1", "localhost"):
        origin = f"http://{name}:{server[0].port}"
        status, _, headers = ask("/api/health", Origin=origin)
        assert status == 200
        assert headers["access-control-allow-origin"] == origin


def test_a_foreign_page_opens_no_socket(server):
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus

    url = f"ws://127.0.0.1:{server[0].port}/api/events/out"

    async def attempt(**options):
        async with connect(url, subprotocols=["prefect"], proxy=None, **options) as socket:
            await socket.send(json.dumps({"type": "auth", "token": server[1].auth()}))
            return json.loads(await socket.recv())["type"]

    assert asyncio.run(attempt()) == "auth_success"
    with pytest.raises(InvalidStatus):
        asyncio.run(attempt(origin="http://evil.example"))


def test_the_login_is_on_no_command_line_in_no_log_and_readable_by_its_owner_only(server):
    running, home = server
    secret = home.auth().partition(":")[2]
    assert len(secret) > 40
    for file in home.folder.rglob("*"):
        if file.is_file() and file.name != "login":
            assert secret.encode() not in file.read_bytes(), file
    assert (home.folder / "login").stat().st_mode & 0o777 == 0o600
    leader = psutil.Process(int(running.keeper.partition("-")[0]))
    for process in (leader, *leader.children(recursive=True)):
        assert secret not in " ".join(process.cmdline())


def test_the_page_that_logs_a_browser_in_holds_no_secret_and_runs_no_other_script(ask, server):
    status, text, headers = ask("/dagmm-login", login=False)
    assert status == 200
    assert server[1].auth().partition(":")[2] not in text
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'sha256-")


@pytest.mark.parametrize(
    ("host", "origin", "own"),
    [
        ("127.0.0.1:4200", None, True),
        ("localhost:4200", "http://127.0.0.1:4200", True),
        ("[::1]:4200", "http://[::1]:4200", True),
        ("127.0.0.1:4200", "http://127.0.0.1:4201", False),
        ("127.0.0.1:4200", "http://127.0.0.1:4200.evil.example", False),
        ("127.0.0.1:4200", "http://evil.example@127.0.0.1:1", False),
        ("127.0.0.1:4200", "file://", False),
        ("127.0.0.1:4200", "", False),
        ("127.0.0.1@evil.example", None, False),
        ("127.0.0.2", None, False),
        ("[::1", None, False),
        ("[::1]evil.example", None, False),
        ("evil.example@127.0.0.1", None, False),
        ("127.0.0.1#evil.example", None, False),
        ("127.0.0.1/evil.example", None, False),
        ("127.0.0.1:80:80", None, False),
        ("127.0.0.1\n", None, False),
        ("127.0.0.1:4200", "http://evil.example#@127.0.0.1:4200", False),
        ("127.0.0.1:4200", "127.0.0.1:4200", False),
        ("localhost", "http://LOCALHOST:80", True),
        ("\xff", None, False),
        (None, None, False),
    ],
)
def test_which_requests_are_its_own(host, origin, own):
    headers = [] if host is None else [(b"host", host.encode("latin-1"))]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    assert is_own(headers) is own
    twice = [*headers, *[(b"host", b"127.0.0.1")] * 2]
    assert not is_own(twice)
