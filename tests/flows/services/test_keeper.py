"""A server ends with whoever needs it, with all that it started, however they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.services import keeper, servers
from tests.waiting import until

SERVER = (
    "import subprocess, sys, time; from pathlib import Path;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "Path(sys.argv[1]).write_text(str(child.pid)); time.sleep(600)"
)
PARENT = f"""
import sys, time
from pathlib import Path
from flows.services import servers
server = servers.start("-c", {SERVER!r}, sys.argv[1], log=Path(sys.argv[1] + ".log"))
print(server.pid, flush=True)
time.sleep(600)
"""


def _group(leader: int, told: Path) -> list[psutil.Process]:
    """Keeper, server and what the server started."""
    until(lambda: told.exists() and told.read_text())
    actual = [psutil.Process(leader), *psutil.Process(leader).children(recursive=True)]
    assert len(actual) == 3
    return actual


def _all_gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=300)
    return not alive


@pytest.fixture
def parent(tmp_path):
    """A process that has started a server, and the server's processes."""
    told = tmp_path / "child"
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(told)], stdout=subprocess.PIPE, text=True
    )
    group = _group(int(process.stdout.readline()), told)
    yield process, group
    process.kill()
    process.wait()


def test_a_killed_parent_takes_its_server_and_all_its_workers_along(parent):
    process, group = parent
    os.kill(process.pid, signal.SIGKILL)
    # Whoever reads what the parent wrote comes to an end at once: nobody else holds the pipe.
    assert process.stdout.read() == ""
    assert _all_gone(group)


def test_a_killed_keeper_takes_the_server_along(parent):
    _, (its_keeper, server, _worker) = parent
    its_keeper.kill()
    assert _all_gone([server])


def test_stopping_ends_the_whole_group(tmp_path):
    told = tmp_path / "child"
    started = servers.start("-c", SERVER, str(told), log=tmp_path / "log")
    group = _group(started.pid, told)
    servers.stop(started)
    assert _all_gone(group[1:])


def test_a_server_lives_as_long_as_one_of_its_holders(tmp_path):
    holders = tmp_path / "holders"
    holders.mkdir()
    first, second = (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in "ab"
    )
    for process in (first, second):
        (holders / keeper.identity(process.pid)).touch()
    server = servers.start(
        "-c", "import time; time.sleep(600)", log=tmp_path / "log", holders=str(holders)
    )
    first.kill(), first.wait()
    time.sleep(4 * keeper.POLL_SECONDS)
    assert server.poll() is None
    second.kill(), second.wait()
    assert server.wait(300) != 0


def test_a_server_that_nobody_needs_waits_for_the_next_one_for_its_time(tmp_path):
    def start(name: str, idle_seconds: float):
        holders = tmp_path / name / "holders"
        holders.mkdir(parents=True)
        (holders / keeper.identity()).touch()
        (holders.parent / keeper.RECORD).touch()
        sleep = ("-c", "import time; time.sleep(3600)")
        log, idle = tmp_path / "log", {"idle_seconds": idle_seconds}
        return holders, servers.start(*sleep, log=log, holders=str(holders), **idle)

    (patients, patient), (hasty_ones, hasty) = start("patient", 3600.0), start("hasty", 0.2)
    time.sleep(0.2 + 4 * keeper.POLL_SECONDS)
    assert hasty.poll() is None, "a need that lasts is no idle time"
    for holders in (patients, hasty_ones):
        (holders / keeper.identity()).unlink()
    assert hasty.wait(300) != 0
    assert not (hasty_ones.parent / keeper.RECORD).exists()
    assert patient.poll() is None
    servers.stop(patient)


def test_the_exit_code_is_that_of_the_server(tmp_path):
    log = tmp_path / "log"
    server = servers.start("-c", "print('so'); raise SystemExit(7)", log=log)
    assert server.wait(300) == 7
    assert log.read_text() == "so\n"


def test_a_later_process_of_the_same_number_is_another_one():
    assert keeper.lives(keeper.identity())
    assert not keeper.lives(f"{os.getpid()}-1")
    assert not keeper.lives(f"{os.getpid()}-")
    assert not keeper.lives("notes.txt")
    child = subprocess.Popen([sys.executable, "-c", ""])
    identity = keeper.identity(child.pid)
    child.wait()
    assert not keeper.lives(identity)
