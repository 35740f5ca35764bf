"""One Prefect server for all commands of a home, and none that is not its own."""

import json
import shutil
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import psutil
import pytest

from flows.common.errors import ServiceUnreachable
from flows.common.settings import Settings, embed_services
from flows.services import keeper, servers
from flows.services.embedded import Embedded, Home, prefect_server
from flows.services.servers import next_free


@pytest.fixture
def settings(quick_prefect, monkeypatch) -> Settings:
    monkeypatch.setenv("PREFECT_API_URL", "")
    monkeypatch.delenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", raising=False)
    settings = Settings()
    embed_services(settings)
    return settings


@pytest.fixture
def foreign():
    """A server that answers every request with success; it remembers them."""
    seen = []

    class Everything(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, dict(self.headers)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"true")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Everything)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, seen
    server.shutdown()


def _gone(server: Embedded) -> bool:
    deadline = time.monotonic() + 300
    while keeper.lives(server.keeper) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not keeper.lives(server.keeper)


def test_all_users_share_one_server_and_the_last_one_ends_it(settings):
    from prefect.client.orchestration import get_client

    home = Home(settings)
    with prefect_server(settings) as first:
        with prefect_server(settings, pages=True) as second:
            assert second == first
        assert first.is_ours(home.auth())
        with get_client(sync_client=True) as client:  # finds address and login by itself
            assert client.api_url.port == first.port
            assert client.read_deployments() == []
        members = psutil.Process(int(first.keeper.partition("-")[0])).children(recursive=True)
        assert members
    assert _gone(first)
    assert not psutil.wait_procs(members, timeout=300)[1]
    assert home.read() is None
    assert list(home.holders.iterdir()) == []


def test_a_home_elsewhere_has_a_server_of_its_own_and_a_server_ends_with_its_home(
    settings, monkeypatch
):
    waiting = settings.model_copy(update={"prefect_idle_seconds": 300.0})
    here = settings.home.resolve()
    copied, moved = here.with_name("copied"), here.with_name("moved")
    with prefect_server(waiting) as first:
        pass
    shutil.copytree(here, copied, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    with monkeypatch.context() as patched:
        patched.setenv("DAGMM_HOME", str(copied))
        patched.delenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", raising=False)
        with prefect_server(Settings().model_copy(update={"prefect_idle_seconds": 0.0})) as second:
            assert second.port != first.port
            assert keeper.lives(first.keeper)
    assert _gone(second)
    assert Home(settings).read() == first
    here.rename(moved)
    assert _gone(first)
    monkeypatch.setenv("DAGMM_HOME", str(moved))
    assert Home(Settings()).read() is None


@pytest.fixture
def waiting(settings) -> Settings:
    return settings.model_copy(
        update={"prefect_idle_seconds": 300.0, "prefect_port": servers.free_port()}
    )


def test_a_server_waits_for_the_next_command_and_makes_room_for_its_pages(settings, waiting):
    home = Home(settings)
    with prefect_server(waiting) as first:
        # A run's page is looked at later, when `dagmm ui` serves it.
        assert Settings().prefect_url == f"http://127.0.0.1:{waiting.prefect_port}" != first.url
    with prefect_server(waiting) as same:
        assert same == first
        assert same.is_ours(home.auth())
    assert home.read() == first
    with prefect_server(waiting, pages=True) as second:
        assert _gone(first)
        assert second.port == waiting.prefect_port
        assert Settings().prefect_url == second.url
    assert _gone(second)  # whoever stops the pages wants no server any more


@pytest.mark.slow  # that one makes room for another is quick with its pages
def test_a_server_that_waits_makes_room_for_other_settings(waiting, monkeypatch):
    with prefect_server(waiting) as first:
        pass
    monkeypatch.setenv("PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS", "7")
    with prefect_server(waiting.model_copy(update={"prefect_idle_seconds": 0.0})) as second:
        assert second != first
        assert _gone(first)
    assert _gone(second)


def test_what_answers_in_place_of_our_server_learns_nothing_and_a_server_that_hangs_is_ended(
    settings, foreign, monkeypatch
):
    port, seen = foreign
    home = Home(settings)
    auth = home.auth()
    assert not Embedded(keeper.identity(), port).is_ours(auth)
    (home.holders / keeper.identity()).touch()
    hung = servers.start(
        *("-c", "import time; time.sleep(600)"),
        log=home.log,
        holders=str(home.holders),
    )
    home.write(Embedded(keeper.identity(hung.pid), port))  # somebody took the port that it had
    monkeypatch.setattr("flows.services.embedded.ANSWER_SECONDS", 0.5)
    with prefect_server(settings) as server:
        assert server.is_ours(auth)
        assert server.port != port
        assert hung.wait(300) is not None
    assert seen
    assert auth.partition(":")[2] not in json.dumps(seen)


def test_a_taken_port_is_said_and_the_next_free_one_used(foreign, monkeypatch):
    port, _ = foreign
    told = []
    monkeypatch.delenv("DAGMM_PREFECT_PORT", raising=False)
    other = next_free(port, "DAGMM_PREFECT_PORT", told.append)
    assert port < other
    assert str(port) in told[0]
    assert str(other) in told[0]
    monkeypatch.setenv("DAGMM_PREFECT_PORT", str(port))
    with pytest.raises(ServiceUnreachable, match=f"port {port} is taken"):
        next_free(port, "DAGMM_PREFECT_PORT", told.append)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    assert next_free(free, "DAGMM_PREFECT_PORT", told.append) == free
    assert len(told) == 1


def test_a_server_that_cannot_start_says_why(settings, monkeypatch):
    Home(settings).write(Embedded("1-1", servers.free_port()))  # of a server that was killed
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "nonsense://")
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_MIGRATE_ON_START", "true")
    with pytest.raises(ServiceUnreachable, match="did not start"), prefect_server(settings):
        pass
    assert Home(settings).read() is None


@pytest.mark.parametrize(
    "message", ["", "\n", "sqlite3.OperationalError: database or disk is full\n"]
)
def test_a_server_that_a_full_disk_ended_says_where_room_is_needed(tmp_path, monkeypatch, message):
    log = tmp_path / "server.log"
    log.write_text(message)
    if not message.strip():
        assert servers.log_tail(log) == f"it said nothing ({log})"
        monkeypatch.setattr(servers, "SCARCE_BYTES", 1 << 60)
    told = servers.log_tail(log)
    assert told.startswith(f"{tmp_path}: ")
    assert told.endswith("make room, or set DAGMM_HOME to a folder on another disk")
