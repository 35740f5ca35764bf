"""A server of a test's own store: its endpoints called directly, or over a real socket."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from flows.api.app import make_app
from flows.api.follower import Follower
from flows.api.guard import Guard
from flows.api.server import Server
from flows.api.telemetry.log_lines import Events, make_follower
from flows.api.workers import Workers
from flows.common.settings import Settings
from flows.promotion.version.canary import sealed_canary
from flows.shadow.worker import ShadowWorker
from flows.tracking import registry, tracking
from tests.waiting import until

NAME = "dagmm-wdbc"
OPEN = Guard(token="", loopback=True, max_bytes=1_000_000)


@dataclass(frozen=True)
class Api:
    """A server, its parts, and what is kept of the version that it began with."""

    app: FastAPI
    follower: Follower
    client: Any
    settings: Settings
    http: TestClient
    workers: Workers

    def canary(self, version: int) -> dict[str, Any]:
        return sealed_canary(self.client, registry.find_version(self.client, NAME, version))

    def rows(self, version: int = 2) -> list[dict[str, Any]]:
        canary = self.canary(version)
        return [dict(zip(canary["columns"], row, strict=True)) for row in canary["data"]]

    def metric(self, name: str, **labels: str) -> float | None:
        for line in self.http.get("/metrics").text.splitlines():
            start, _, value = line.rpartition(" ")
            if start.partition("{")[0] == name and all(
                f'{label}="{wanted}"' in start for label, wanted in labels.items()
            ):
                return float(value)
        return None


def make(
    settings: Settings,
    guard: Guard = OPEN,
    max_rows: int = 1000,
    shadow: ShadowWorker | None = None,
    connect: Callable[[Settings], Any] = tracking.connect,
    processes: int = 0,
) -> Api:
    """The parts of `dagmm api`, put together as it does."""
    client = connect(settings)
    follower = make_follower(client, settings, NAME, Events(as_json=True))
    workers = Workers(processes)
    app = make_app(
        follower, guard, reference=NAME, max_rows=max_rows, workers=workers, shadow=shadow
    )
    http = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    return Api(app, follower, client, settings, http, workers)


@pytest.fixture
def api(two_versions, monkeypatch) -> Api:
    """A server of a store in which version 2 is in production, before it has looked."""
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    return make(Settings())


@pytest.fixture
def ready(api) -> Api:
    """The same, answering."""
    api.follower.step()
    assert api.follower.current is not None, api.follower.standing
    return api


def make_shared(store: Path, *arguments: Any, **options: Any) -> Api:
    """A server of the session's store, answering: for many tests that only ask it something."""
    with mock.patch.dict(os.environ, DAGMM_HOME=str(store.parent)):
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        api = make(Settings(), *arguments, **options)
        api.follower.step()
    assert api.follower.current is not None, api.follower.standing
    return api


@contextmanager
def listening(api: Api, seconds: float) -> Iterator[str]:
    """Serve on a socket, and follow, until the block ends; the address."""
    with socket.socket(proto=socket.IPPROTO_TCP) as bound:
        bound.bind(("127.0.0.1", 0))
        config = uvicorn.Config(api.app, log_level="warning", lifespan="off")
        server = Server(config, lambda: None)
        threads = [
            threading.Thread(target=server.run, kwargs={"sockets": [bound]}),
            threading.Thread(target=api.follower.run, args=(seconds,)),
        ]
        for thread in threads:
            thread.start()
        try:
            until(lambda: server.started)
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            api.follower.stop()
            for thread in threads:
                thread.join()


def beside(pid: int | None = None) -> list[psutil.Process]:
    """Processes that score for a server: of this process, or of another."""
    every = psutil.Process(pid).children()
    return [each for each in every if "flows.api.workers" in each.cmdline()]


def split(columns: list[str], data: list[list[Any]]) -> bytes:
    return json.dumps({"dataframe_split": {"columns": columns, "data": data}}).encode()


def bundle_file(client: Any, version: int) -> Path:
    """`bundle.json` of a trained version, where it lies."""
    source = client.get_model_version(NAME, str(version)).source
    location = client.get_logged_model(source.removeprefix("models:/")).artifact_location
    return Path(location.removeprefix("file://")) / "artifacts" / "bundle" / "bundle.json"
