"""A process beside the flow, which loads Great Expectations while the flow loads the rest.

One Python loads one library at a time. Great Expectations takes as long as all others together, and
only validation needs it. Not a pool of `multiprocessing`: that runs the caller's script once more,
and not every script that calls `flows.cli.dagmm` expects it.

    python -m flows.services.helper PIPE MODULE
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, TypeVar

R = TypeVar("R")
STDERR = 2
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class _Helper:
    process: subprocess.Popen[bytes]
    pipe: Connection[Any, Any]

    def end(self) -> None:
        """End it, also in the middle of its work: after an error nobody wants the result."""
        self.pipe.close()
        self.process.kill()
        self.process.wait()


_HELPERS: list[_Helper] = []


@contextmanager
def helper(module: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that imports a module; in the block, the first `run` works there.

    Args:
        module: That of what will be run.
    """
    ours, theirs = Pipe()
    arguments = ("-P", "-m", __name__, str(theirs.fileno()), module)
    with theirs:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=STDERR,
            pass_fds=[theirs.fileno()],
        )
    mine = _Helper(process, ours)
    _HELPERS.append(mine)
    try:
        yield process
    finally:
        if mine in _HELPERS:
            _HELPERS.remove(mine)
            mine.end()


def run(work: Callable[..., R], *args: object) -> R:
    """Do something in the helper, which ends with it; in this process where there is none.

    Raises:
        RuntimeError: The helper was killed.
    """
    if not _HELPERS:
        return work(*args)
    mine = _HELPERS.pop()
    try:
        mine.pipe.send((work, args))
        done, result = mine.pipe.recv()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        code = mine.process.wait()
        raise RuntimeError(f"the helper process ended with code {code}: out of memory?") from None
    finally:
        mine.end()
    if not done:
        raise result
    answer: R = result
    return answer


def main(pipe: int, module: str) -> None:
    """Import, wait for the work, do it, and answer with the result or the error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to answer
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    importlib.import_module(module)
    with Connection(pipe) as caller, suppress(EOFError):  # that nobody needs it, too, is an end
        work, args = caller.recv()
        try:
            caller.send((True, work(*args)))
        except Exception as error:
            error.add_note(traceback.format_exc())
            caller.send((False, error))


def _end_with(caller: int) -> None:
    """A caller that was killed waits for no answer."""
    while os.getppid() == caller:
        time.sleep(POLL_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
