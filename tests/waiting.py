"""Waiting for what comes to be by itself: a server that answers, a file, a message."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import TypeVar

T = TypeVar("T")
Process = subprocess.Popen | BaseProcess


def until(
    what: Callable[[], T],
    process: Process | None = None,
    *,
    seconds: float = 600,
    pause: float = 0.02,
) -> T:
    """What is there once it is true.

    Args:
        what: Is called again and again.
        process: Has to go on meanwhile; what it said is shown where it does not.
        seconds: After which the test fails; long, for a busy machine.
        pause: Between two calls, in seconds.
    """
    deadline = time.monotonic() + seconds
    while not (there := what()):
        if process is not None:
            assert _goes_on(process), _said(process)
        assert time.monotonic() < deadline
        time.sleep(pause)
    return there


def _goes_on(process: Process) -> bool:
    return process.poll() is None if isinstance(process, subprocess.Popen) else process.is_alive()


def _said(process: Process) -> object:
    if isinstance(process, subprocess.Popen):
        return process.communicate()
    return f"it ended with code {process.exitcode}"
