"""A flow called from Python without a server uses the home's, with its door and its login."""

import os
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing

import pytest
from prefect import flow, task
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)

from flows.common.settings import Settings
from flows.orchestration.at_home import HomeFlow, at_home
from flows.orchestration.definitions import FLOWS, flow_behind
from flows.services import keeper, servers
from flows.services.embedded import Home

SCRIPT = """
from prefect import flow, task
from flows.orchestration.at_home import at_home

@task
def answer():
    return 42

@at_home
@flow(name="script")
def script():
    return answer()

print(script() + script())
"""


@pytest.fixture
def nowhere(quick_prefect, monkeypatch):
    """No server is configured."""
    monkeypatch.setenv("PREFECT_API_URL", "")
    with temporary_settings({PREFECT_API_URL: None}):
        yield Home(Settings())


def _status(url: str, **headers: str) -> int:
    try:
        with servers.OPENER.open(urllib.request.Request(url, None, headers)) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@task
def look() -> tuple[str, int, int]:
    """Address of the server as a task sees it, and what strangers and foreign pages are told."""
    url = PREFECT_API_URL.value()
    stranger = _status(f"{url}/admin/version")
    return url, stranger, _status(f"{url}/health", Origin="http://evil.example")


@at_home
@flow(name="outer")
def outer(depth: int):
    """Look, and look again in a flow within this one."""
    return [look(), *(outer(depth - 1) if depth else [])]


def test_a_call_from_python_uses_the_server_of_the_home_and_ends_it(nowhere):
    seen = outer.with_options(name="another")(1)
    assert seen[0] == seen[1]
    url, stranger, foreign_page = seen[0]
    assert url.startswith("http://127.0.0.1:")
    assert (stranger, foreign_page) == (401, 403)
    with closing(sqlite3.connect(nowhere.folder / "prefect.db")) as kept:
        assert kept.execute("SELECT count(*) FROM flow_run").fetchone() == (2,)
    assert nowhere.read() is None
    assert not any(keeper.lives(file.name) for file in nowhere.holders.iterdir())
    assert not PREFECT_API_URL.value()


def test_a_script_ends_when_its_calls_have(home, quick_prefect, tmp_path):
    """Prefect's clients would go on trying to reach a server that has ended."""
    environment = {**os.environ, "PREFECT_API_URL": "", "DAGMM_HOME": str(home)}
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.stdout == "84\n", done.stderr
    assert "pending" not in done.stderr


def test_a_server_that_is_configured_is_used(home, prefect_server):
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        assert outer(0)[0][0] == prefect_server
    assert not (home / "prefect").exists()


@at_home
@flow(name="beating")
def beating():
    """Seconds between two heartbeats."""
    return PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value()


def test_a_call_sends_no_heartbeats_which_would_hold_it_up_at_its_end(home, prefect_server):
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        assert beating() is None
        assert beating.fn() is not None


def test_every_flow_is_at_home_and_prefect_finds_it():
    from prefect.flows import load_flow_from_entrypoint, safe_load_flow_from_entrypoint

    for entrypoint in FLOWS:
        actual = flow_behind(entrypoint)
        assert isinstance(actual, HomeFlow)
        assert safe_load_flow_from_entrypoint(entrypoint).name == actual.name
        assert load_flow_from_entrypoint(entrypoint).name == actual.name
