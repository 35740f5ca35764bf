"""A signal in the middle of a transaction of the store leaves no lock on it."""

import os
import signal
import sqlite3
from contextlib import closing
from unittest import mock

import pytest
from mlflow.tracking import MlflowClient
from sqlalchemy.orm import loading

from flows.tracking.home.transactions import whole_transactions


@pytest.fixture
def interrupted(registry):
    """Reads a run, with Ctrl-C between a statement and its rows; gives what that raised."""
    run = registry.create_run(registry.create_experiment("e"))
    real = loading.instances

    def interrupting(*arguments):
        if not sent:
            sent.append(signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments)

    sent: list[int] = []

    def read() -> KeyboardInterrupt:
        with (
            mock.patch("sqlalchemy.orm.loading.instances", interrupting),
            pytest.raises(KeyboardInterrupt) as stopped,
        ):
            registry.get_run(run.info.run_id)
        return stopped.value

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield read
    signal.signal(signal.SIGINT, before)


def test_the_store_can_be_written_while_the_signal_is_raised(registry, interrupted):
    with whole_transactions(registry.tracking_uri):
        error = interrupted()  # its traceback keeps whatever was open
        file = registry.tracking_uri.removeprefix("sqlite:///")
        with closing(sqlite3.connect(file, timeout=0)) as other, other:
            other.execute("UPDATE runs SET name = 'written'")
    assert error.__traceback__ is not None


def test_signals_are_heeded_again_behind_it(registry):
    handler = signal.getsignal(signal.SIGTERM)
    with whole_transactions(registry.tracking_uri):
        registry.search_experiments()
        assert signal.getsignal(signal.SIGTERM) is handler
    assert signal.getsignal(signal.SIGTERM) is handler


def test_other_databases_are_left_alone(registry, tmp_path):
    other = MlflowClient(f"sqlite:///{tmp_path}/other.db")
    other.search_experiments()
    with (
        whole_transactions(registry.tracking_uri),
        mock.patch("flows.tracking.home.transactions.held_back") as held,
    ):
        other.search_experiments()
        assert not held.called
        registry.search_experiments()
        assert held.called
