"""The process that works beside a command."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from data_checks.base.atomic import explaining_write_errors
from data_checks.base.errors import SourceError
from flows.common.errors import EXIT_UNREACHABLE, exit_code, remedy
from flows.services import helper


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """What runs there is imported there, and these functions are not installed."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


def _refuse(text: str) -> None:
    raise SourceError(text)


def _fill(disk: Path) -> None:
    with explaining_write_errors(disk):
        disk.write_bytes(b"x")


class Odd(Exception):
    def __init__(self, one, two):
        super().__init__(one)


def _fail_oddly() -> None:
    raise SourceError("row 3") from Odd(1, 2)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _loaded(name: str) -> bool:
    return name in sys.modules


def test_so_many_works_are_done_there_and_the_next_here():
    with helper.helper("xml.dom.minidom", "wave") as process:
        assert helper.run_in_helper(_loaded, "xml.dom.minidom")
        assert helper.run_in_helper(os.getpid) == process.pid
        assert process.wait(30) == 0
        assert helper.run_in_helper(os.getpid) == os.getpid()
    assert helper.run_in_helper(os.getpid) == os.getpid()


def test_the_library_of_a_work_is_loaded_after_the_work_before():
    with helper.helper("json", "wave"):
        assert not helper.run_in_helper(_loaded, "wave")
        assert helper.run_in_helper(_loaded, "wave")


def _write_pid(file: Path) -> None:
    file.write_text(str(os.getpid()))


def _write_late(file: Path) -> None:
    time.sleep(0.5)
    file.write_text("whole")


def test_what_is_begun_there_goes_on_while_this_process_does_something_else(tmp_path):
    file = tmp_path / "pid"
    with helper.helper("json") as process:
        with helper.work_in_helper(_write_pid, file):
            process.wait(30)  # done, though nobody has asked
            assert int(file.read_text()) == process.pid
        with helper.work_in_helper(_write_pid, file):
            pass
        assert int(file.read_text()) == os.getpid()


def test_a_block_that_fails_leaves_nothing_at_work_that_a_second_try_would_meet(tmp_path):
    file = tmp_path / "figure"
    with helper.helper("json", "wave") as process:
        with pytest.raises(SourceError, match="no store"), helper.work_in_helper(_write_late, file):
            raise SourceError("no store")
        assert file.read_text() == "whole"
        assert helper.run_in_helper(os.getpid) == process.pid  # not the answer to the first
    with pytest.raises(SourceError), helper.work_in_helper(_write_pid, tmp_path / "none"):
        raise SourceError("no store")
    assert not (tmp_path / "none").exists()


def test_an_error_of_work_beside_a_block_is_raised_at_its_end():
    refused = pytest.raises(SourceError, match="row 3")
    with helper.helper("json"), refused, helper.work_in_helper(_refuse, "row 3"):
        pass


def test_an_error_there_is_the_same_error_here_and_says_where():
    with helper.helper("json"), pytest.raises(SourceError, match="row 3 of it") as raised:
        helper.run_in_helper(_refuse, "row 3 of it")
    assert "in _refuse" in raised.value.__notes__[0]


def test_what_caused_an_error_there_is_known_here():
    """A full disk is no wrong usage, whoever was writing."""
    with helper.helper("json"), pytest.raises(SourceError, match="No space left") as raised:
        helper.run_in_helper(_fill, Path("/dev/full"))
    assert exit_code(raised.value) == EXIT_UNREACHABLE
    assert "make room" in remedy(raised.value)


def test_a_cause_that_cannot_be_sent_keeps_no_error_back():
    with helper.helper("json"), pytest.raises(SourceError, match="row 3"):
        helper.run_in_helper(_fail_oddly)


def test_a_helper_that_is_killed_or_cannot_import_is_said():
    with helper.helper("json"), pytest.raises(RuntimeError, match="ended with code -9"):
        helper.run_in_helper(_die)
    with helper.helper("nothing_of_that_name"), pytest.raises(RuntimeError, match="ended with"):
        helper.run_in_helper(os.getpid)
    with helper.helper("json", "nothing_of_that_name") as process:
        assert helper.run_in_helper(os.getpid) == process.pid
        process.wait(30)
        with pytest.raises(RuntimeError, match="ended with code 1"):
            helper.run_in_helper(os.getpid)


def test_a_helper_ends_with_its_block_and_with_its_caller():
    with helper.helper("json") as process:
        assert process.poll() is None
    assert process.poll() is not None
    code = (
        "import os, signal; from flows.services.helper import helper\n"
        "with helper('json') as process:\n"
        "    print(process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False)
    remaining = [psutil.Process(int(done.stdout))] if psutil.pid_exists(int(done.stdout)) else []
    _, alive = psutil.wait_procs(remaining, timeout=300)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
