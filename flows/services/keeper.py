"""Stands between us and a server, and ends it when nobody is left who needs it.

    python keeper.py HOLDERS SECONDS PROGRAM ARGUMENTS...

HOLDERS names the processes that need the server: one of them, as PID-BIRTH, or a folder with an
empty file, PID-BIRTH-ANYTHING, for each need. SECONDS is how long it waits for the next need. A
process that is killed cannot end what it started; the keeper sees that it is gone and ends the
server, with all that belongs to its process group. It is run as a file and imports none of our own
code: it must start at once and cost nothing.
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

POLL_SECONDS = 0.3
END_SECONDS = 8.0
PR_SET_PDEATHSIG = 1
LOCK, RECORD = "server.lock", "server.json"
"""Beside a folder of holders: who finds, starts or ends the server; where it is."""


def birth(pid: int) -> str:
    """When a process began, in a form that tells it from a later one of the same number.

    Empty when there is no such process, or it has ended and only waits for its parent to ask.
    """
    try:
        # Behind the name, which may hold anything: state, ..., start in ticks since the boot.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return "" if Path("/proc/self/stat").exists() else _birth_elsewhere(pid)
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _birth_elsewhere(pid: int) -> str:
    import psutil

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return ""


def identity(pid: int | None = None) -> str:
    """PID-BIRTH of a process, this one unless given."""
    pid = os.getpid() if pid is None else pid
    return f"{pid}-{birth(pid)}"


def lives(holder: str) -> bool:
    """Whether the process PID-BIRTH, or PID-BIRTH-ANYTHING, is there still."""
    pid, born = [*holder.split("-"), ""][:2]
    return pid.isdigit() and bool(born) and birth(int(pid)) == born


def held(holders: str) -> bool:
    """Whether somebody needs the server."""
    if os.path.isdir(holders):  # noqa: PTH112
        return any(lives(name) for name in os.listdir(holders))  # noqa: PTH208
    return lives(holders)


def _given_up(holders: str) -> bool:
    """Whether nobody needs the server; decided while nobody can come to need it."""
    if held(holders):
        return False
    if not os.path.isdir(holders):  # noqa: PTH112
        return True
    home = Path(holders).parent
    with (home / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False  # somebody is just coming or going
        if held(holders):
            return False
        (home / RECORD).unlink(missing_ok=True)
        return True


def end_with_parent() -> None:
    """Have the kernel end this process if the one that started it is killed (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the whole group; the last signal ends the keeper as well."""
    os.killpg(0, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        server.wait(END_SECONDS)
        return
    os.killpg(0, signal.SIGKILL)


def main(holders: str, seconds: float, command: list[str]) -> int:
    """Run the server; its exit code."""
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: told.append(number))
    server = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=end_with_parent if sys.platform == "linux" else None,
    )
    needed = time.monotonic()
    while server.poll() is None:
        if held(holders):
            needed = time.monotonic()
        waited = time.monotonic() - needed >= seconds or not os.path.exists(holders)  # noqa: PTH110
        if told or (waited and _given_up(holders)):
            _end(server)
        time.sleep(POLL_SECONDS)
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
