"""What the machine does to us is said as such, with a remedy, and is no defect of ours."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa
from mlflow.exceptions import MlflowException

from flows.common.errors import (
    EXIT_DEFECT,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    ServiceUnreachable,
    exit_code,
    is_transient,
    message_of,
    remedy,
)
from flows.services.servers import free_port


def test_a_server_that_does_not_answer_is_named_without_the_words_of_its_client():
    port = free_port()
    with pytest.raises(requests.ConnectionError) as refused:
        requests.get(f"http://127.0.0.1:{port}/api", timeout=10)
    expected = f"127.0.0.1:{port} does not answer: Connection refused"
    assert message_of(refused.value) == expected
    wrapped = MlflowException(f"API request to an address failed with exception {refused.value}")
    assert message_of(wrapped) == expected
    assert exit_code(wrapped) == EXIT_UNREACHABLE


def not_a_database(folder):
    (folder / "mlflow.db").write_bytes(os.urandom(4096))
    return lambda connection: connection.execute(sa.text("SELECT * FROM runs"))


def locked(folder):
    other = sqlite3.connect(folder / "mlflow.db", isolation_level=None)
    other.execute("CREATE TABLE runs (a)")
    other.execute("BEGIN EXCLUSIVE")
    return lambda connection, _held=other: connection.execute(sa.text("SELECT * FROM runs"))


def full(folder):
    def fill(connection):
        connection.execute(sa.text("PRAGMA max_page_count = 2"))
        connection.execute(sa.text("CREATE TABLE runs (a)"))
        connection.execute(sa.text("INSERT INTO runs VALUES (randomblob(100000))"))

    return fill


def read_only(folder):
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        store.execute("CREATE TABLE runs (a)")

    def write(connection):
        connection.execute(sa.text("PRAGMA query_only = 1"))
        connection.execute(sa.text("INSERT INTO runs VALUES (1)"))

    return write


@pytest.fixture(params=[not_a_database, locked, full, read_only], ids=lambda kind: kind.__name__)
def fault(request, tmp_path):
    """An error as SQLAlchemy raises it, and as MLflow passes it on."""
    act = request.param(tmp_path)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'mlflow.db'}", connect_args={"timeout": 0.1})
    with pytest.raises(sa.exc.DatabaseError) as raised, engine.connect() as connection:
        act(connection)
    engine.dispose()
    return raised.value


def test_a_fault_of_the_store_is_the_environment_s(fault):
    for error in (fault, fault.orig, MlflowException(str(fault))):
        assert exit_code(error) == EXIT_UNREACHABLE
        message = message_of(error) + remedy(error)
        assert "SQL:" not in message
        assert "sqlalche" not in message
        assert "\n" not in message
        assert "DAGMM_HOME" in message or "make room" in message or "try again" in message


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EMFILE, errno.EIO])
def test_a_fault_of_the_disk_is_the_environment_s(number):
    error = RuntimeError("could not be written")
    error.__cause__ = OSError(number, os.strerror(number), "/home/x")
    assert exit_code(error) == EXIT_UNREACHABLE
    assert remedy(error).startswith("; ")


@pytest.mark.parametrize(("module", "extra"), [("psycopg", "postgres"), ("flask_wtf", "team")])
def test_a_missing_extra_is_named(module, extra):
    error = ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert exit_code(error) == EXIT_USAGE
    assert f"dagmm-pipeline[{extra}]" in message_of(error)


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: (path / "x").mkdir()])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path, make):
    (tmp_path / "home").touch()
    with pytest.raises(OSError, match="home") as raised:
        make(tmp_path / "home")
    assert exit_code(raised.value) == EXIT_USAGE
    assert str(tmp_path / "home") in message_of(raised.value)
    assert "Errno" not in message_of(raised.value)


def test_a_circle_of_links_is_the_user_s(tmp_path):
    (tmp_path / "circle").symlink_to("circle")
    for use in (Path.resolve, Path.read_text):
        with pytest.raises((OSError, RuntimeError), match="circle") as caught:
            use(tmp_path / "circle")
        assert exit_code(caught.value) == EXIT_USAGE


def test_what_is_nobody_else_s_fault_is_ours():
    for error in (KeyError("x"), ModuleNotFoundError("no numpy", name="numpy"), sqlite3.Error("x")):
        assert exit_code(error) == EXIT_DEFECT


@pytest.mark.parametrize("address", ["", "http://127.0.0.1:9/api"])
def test_nobody_is_told_to_unset_what_was_not_set(monkeypatch, address):
    monkeypatch.setenv("PREFECT_API_URL", address)
    error = RuntimeError("Failed to reach API at http://127.0.0.1:9/api")
    assert exit_code(error) == EXIT_UNREACHABLE
    assert ("unset PREFECT_API_URL" in remedy(error)) == bool(address)


def test_who_has_waited_for_a_service_is_not_asked_to_wait_again():
    waited = ServiceUnreachable("MLflow does not answer")
    assert not is_transient(waited)
    waited.__cause__ = sqlite3.OperationalError("database is locked")
    assert is_transient(waited)
    waited.__cause__ = ValueError("no such address")
    assert not is_transient(waited)


@pytest.mark.parametrize("below", [".", "below"])
def test_a_file_in_the_place_of_a_folder_has_its_remedy(tmp_path, below):
    (tmp_path / "taken").touch()
    with pytest.raises(OSError, match="taken") as raised:
        (tmp_path / "taken" / below).mkdir(parents=True, exist_ok=True)
    assert exit_code(raised.value) == EXIT_USAGE
    assert "name another one" in remedy(raised.value)
