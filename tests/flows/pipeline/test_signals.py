"""SIGTERM, Ctrl-C, a closed terminal at any moment: no run stays open, the same command ends it."""

import fcntl
import logging
import os
import pty
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from mlflow.tracking import MlflowClient
from safetensors.numpy import load_file

from flows.pipeline.fitting import epochs
from flows.stages import table
from tests.flows.conftest import BIN, FAST, production

TRAIN = ("train", "wdbc", *FAST)
STAGES = ("ingest", "validate", "verdicts", "split", "fit", "calibrate", "evaluate", "register")
MOMENTS = [
    (stage, point)
    for stage in (*STAGES, "promote")
    for point in ("start", "middle", "end", "recorded")
]
NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ORDER = (*NUMBERS, *NUMBERS, signal.SIGINT)  # of a length that gives each point each signal
TWO = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def heeded():
    """The signals as a shell leaves them; who starts the tests in the background ignores some."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def silent_mlflow():
    """As under the command, which sets `MLFLOW_LOGGING_LEVEL` before it loads MLflow."""
    logger = logging.getLogger("mlflow")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


def _send(number: int) -> None:
    os.kill(os.getpid(), number)


@contextmanager
def _signal_in(stage: str, point: str, number: int) -> Iterator[None]:
    """A signal in a stage, at the latest when it ends."""
    real = table.run_stage

    def during(work):
        def sent_meanwhile():
            sender = threading.Thread(target=lambda: (time.sleep(0.05), _send(number)))
            sender.start()
            try:
                return work()
            finally:
                sender.join()

        return sent_meanwhile

    def after(work):
        def sent_then():
            record = work()
            _send(number)
            return record

        return sent_then

    def run_stage(run, name, kind, work, later):
        if name != stage:
            return real(run, name, kind, work, later)
        if point == "start":
            _send(number)
        work = {"middle": during, "end": after}.get(point, lambda work: work)(work)
        record = real(run, name, kind, work, later)
        _send(number)
        return record

    with mock.patch.object(table, "run_stage", run_stage):
        yield


@contextmanager
def _signal_at(owner: type, method: str, number: int, *, before: bool = False) -> Iterator[None]:
    """A signal before or after the first call of a method, in whatever thread."""
    real, calls = getattr(owner, method), []

    def calling(self, *arguments, **named):
        calls.append(method)
        if before and len(calls) == 1:
            _send(number)
        result = real(self, *arguments, **named)
        if not before and len(calls) == 1:
            _send(number)
        return result

    with mock.patch.object(owner, method, calling):
        yield
    assert calls, f"{method} was not called"


def _runs(registry) -> list:
    found = registry.get_experiment_by_name("dagmm-wdbc")
    return registry.search_runs([found.experiment_id]) if found else []


def _stop(dagmm, registry, interrupting, number: int) -> None:
    with interrupting:
        stopped = dagmm(*TRAIN)
    assert stopped.code == 128 + number, stopped.err
    assert "the same command resumes" in stopped.err
    assert "Traceback" not in stopped.err
    assert {run.info.status for run in _runs(registry)} <= {"KILLED"}, stopped.err


def _check(dagmm, registry, interrupting, number: int) -> None:
    _stop(dagmm, registry, interrupting, number)
    again = dagmm(*TRAIN)
    assert again.code == 0, again.err
    (run,) = _runs(registry)
    assert run.info.status == "FINISHED"
    assert "dagmm.error" not in run.data.tags
    assert len(registry.search_model_versions("name='dagmm-wdbc'")) == 1
    assert production(registry) == 1


def test_at_three_moments_of_one_training(dagmm, home, registry, two_trainings, monkeypatch):
    """Each call goes on where the one before was stopped: together they are little more than one.

    Every moment by itself is in the slow tests below.
    """
    monkeypatch.setenv("DAGMM_CHECKPOINT_SECONDS", "3600")
    term, ctrl_c, closed = NUMBERS
    _stop(dagmm, registry, _signal_at(epochs.EpochLogger, "__call__", term), term)
    (run,) = home.glob("workspace/runs/*")
    # Checkpoints are far apart: the one that is found is the one that the signal asked for.
    assert list((run / "checkpoints").iterdir())
    assert not (run / "fit.json").exists()
    _stop(dagmm, registry, _signal_in("register", "middle", closed), closed)
    assert len(_runs(registry)) == 1
    closing = _signal_at(MlflowClient, "set_terminated", ctrl_c, before=True)
    _check(dagmm, registry, closing, ctrl_c)
    assert list(home.glob("workspace/runs/*")) == [run]
    undisturbed = two_trainings[1][0]["evidence"]["fit"]["detector"]
    ours, theirs = (
        load_file(Path(folder) / "detector.safetensors")
        for folder in (run / "detector", undisturbed)
    )
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in theirs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "point", "number"),
    [(*moment, NUMBERS[(i + i // 4) % 3]) for i, moment in enumerate(MOMENTS)],
)
def test_in_any_stage(dagmm, registry, stage, point, number):
    _check(dagmm, registry, _signal_in(stage, point, number), number)


@pytest.mark.slow
@pytest.mark.parametrize("number", TWO)
@pytest.mark.parametrize("method", ["create_run", "log_inputs"])
def test_as_soon_as_the_store_has_answered(dagmm, registry, method, number):
    _check(dagmm, registry, _signal_at(MlflowClient, method, number), number)


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS)
def test_while_a_thread_sends_epochs(dagmm, registry, monkeypatch, number):
    monkeypatch.setattr(epochs, "FLUSH_SECONDS", 0.0)
    _check(dagmm, registry, _signal_at(epochs.EpochLogger, "_send", number, before=True), number)


@pytest.mark.slow
@pytest.mark.parametrize("number", TWO)
def test_while_the_finished_run_is_closed(dagmm, registry, number):
    closing = _signal_at(MlflowClient, "set_terminated", number, before=True)
    _check(dagmm, registry, closing, number)


@pytest.mark.slow
def test_a_second_signal_lets_the_run_be_closed(dagmm, registry):
    @contextmanager
    def twice():
        closing = _signal_at(MlflowClient, "set_terminated", signal.SIGINT, before=True)
        with _signal_in("split", "start", signal.SIGINT), closing:
            yield

    _check(dagmm, registry, twice(), signal.SIGINT)


@pytest.mark.slow
def test_a_resumed_run_is_closed_again(dagmm, registry):
    with _signal_in("split", "start", signal.SIGTERM):
        assert dagmm(*TRAIN).code == 143
    _check(dagmm, registry, _signal_at(MlflowClient, "update_run", signal.SIGTERM), signal.SIGTERM)


@pytest.mark.slow
def test_a_terminal_that_is_closed_ends_the_command_as_a_signal_does(
    home, prefect_server, registry
):
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [BIN / "dagmm", *TRAIN, "--set", "detector.settings.epochs=1000000"],
        **{"stdin": its, "stdout": its, "stderr": its},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(its)
    said = b""
    while b"split" not in said:
        said += os.read(ours, 4096)
    os.close(ours)
    assert process.wait(300) == 128 + signal.SIGHUP
    assert [run.info.status for run in _runs(registry)] == ["KILLED"]
