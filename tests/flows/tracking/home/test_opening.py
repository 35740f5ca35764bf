"""A home's store is there as a whole or not at all."""

import os
import sqlite3
import time
from contextlib import closing

import pytest

from flows.common.errors import ServiceUnreachable
from flows.common.settings import Settings
from flows.tracking import tracking
from flows.tracking.home.opening import make_store
from flows.tracking.home.reading import SCHEMA, HomeReader
from flows.tracking.reader import reader
from tests.flows.forked import processes


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGMM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "home").mkdir()
    return Settings()


def make(home):
    os.environ["DAGMM_HOME"] = home
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    make_store(Settings())


def begun(settings):
    process = processes.Process(target=make, args=(str(settings.home),))
    process.start()
    return process


def tables(file):
    with closing(sqlite3.connect(file)) as store:
        return store.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()


def test_a_command_that_is_killed_while_it_makes_the_store_leaves_none(settings):
    part = settings.home / "mlflow.db.part"
    process = begun(settings)
    while not (part.exists() and tables(part)[0] > 5):
        assert process.exitcode is None
        time.sleep(0.01)
    process.kill()
    process.join()
    assert part.exists()
    assert not (settings.home / "mlflow.db").exists()
    tracking.connect(settings)
    assert HomeReader(settings).schema == SCHEMA
    assert not list(settings.home.glob("mlflow.db.part*"))


def test_two_that_begin_a_home_share_one_store(settings):
    both = [begun(settings), begun(settings)]
    for each in both:
        each.join(300)
    assert [each.exitcode for each in both] == [0, 0]
    client = tracking.connect(settings)
    assert [each.name for each in client.search_experiments()] == ["Default"]


def test_a_store_that_was_cut_to_nothing_is_not_taken_for_a_new_home(settings):
    settings.store_file.touch()
    for use in (tracking.connect, reader):
        with pytest.raises(ServiceUnreachable, match=r"mlflow\.db has none.*back-up"):
            use(settings)
    assert not settings.store_file.stat().st_size
