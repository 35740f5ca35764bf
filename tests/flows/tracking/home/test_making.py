"""A home's store is there as a whole or not at all."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from flows.common.settings import Settings
from flows.tracking import tracking
from flows.tracking.home.reading import SCHEMA, HomeReader

MAKE = (
    "from flows.common.settings import Settings; from flows.tracking.home.making import make_store"
)
CODE = f"{MAKE}; make_store(Settings())"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGMM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "home").mkdir()
    return Settings()


def begun(settings):
    return subprocess.Popen([sys.executable, "-c", CODE], stderr=subprocess.PIPE)


def tables(file):
    with closing(sqlite3.connect(file)) as store:
        return store.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()


def test_a_command_that_is_killed_while_it_makes_the_store_leaves_none(settings):
    part = settings.home / "mlflow.db.part"
    process = begun(settings)
    while not (part.exists() and tables(part)[0] > 5):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert part.exists()
    assert not (settings.home / "mlflow.db").exists()
    tracking.connect(settings)
    assert HomeReader(settings).schema == SCHEMA
    assert not list(settings.home.glob("mlflow.db.part*"))


def test_two_that_begin_a_home_share_one_store(settings):
    both = [begun(settings), begun(settings)]
    assert [each.wait() for each in both] == [0, 0]
    client = tracking.connect(settings)
    assert [each.name for each in client.search_experiments()] == ["Default"]
