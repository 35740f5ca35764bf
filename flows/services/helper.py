"""A process beside the flow: it loads libraries that only some work needs, and does that work.

One Python loads one library at a time, and computes in one thread. Great Expectations takes as long
to load as all others together, and only validation needs it; so it is with drawing. Not a pool of
`multiprocessing`: that runs the caller's script once more, and not every script that calls
`flows.cli.dagmm` expects it.

    python -m flows.services.helper PIPE MODULES...
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from flows.common.loading import undisturbed

SCORING = "dagmm_model.detectors.dagmm dagmm_model.scoring.inference sklearn.utils.validation"
"""What a work takes that scores rows by a stored version."""

R = TypeVar("R")
STDERR = 2
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class _Helper:
    process: subprocess.Popen[bytes]
    pipe: Connection[Any, Any]

    def answer(self) -> Any:
        """Wait for the result of what was begun there."""
        try:
            done, result = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            raise self.lost() from None
        if not done:
            for error, cause in pairwise(result):
                error.__cause__ = cause
            raise result[0]
        return result

    def lost(self) -> RuntimeError:
        """The error of a helper that is gone."""
        code = self.process.wait()
        return RuntimeError(f"the helper process ended with code {code}: out of memory?")

    def end(self) -> None:
        """End it, also in the middle of its work: after an error nobody wants the result."""
        self.pipe.close()
        self.process.kill()
        self.process.wait()


def piped(
    module: str, *arguments: str, **options: Any
) -> tuple[subprocess.Popen[bytes], Connection[Any, Any]]:
    """Start a module as a process of its own; it, and our end of the pipe to it.

    Args:
        module: Is told the number of its end, then the arguments; what it prints is an error's.
        arguments: Of the module.
        options: Of `subprocess.Popen`.
    """
    ours, theirs = Pipe()
    with theirs:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", module, str(theirs.fileno()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=STDERR,
            pass_fds=[theirs.fileno()],
            **options,
        )
    return process, ours


_FREE: list[_Helper] = []
"""Once for each work that a helper still takes."""


@contextmanager
def helper(*modules: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that does so many works; in the block, those that begin first go there.

    Args:
        modules: For each work, those that it takes, with blanks between them; they are imported
            when the work before is done.
    """
    process, pipe = piped(__name__, *modules)
    mine = _Helper(process, pipe)
    _FREE.extend([mine] * len(modules))
    try:
        yield process
    finally:
        _FREE[:] = [each for each in _FREE if each is not mine]
        mine.end()


def run_in_helper(work: Callable[..., R], *args: object) -> R:
    """Do something in the helper and wait for it; in this process where there is none.

    Raises:
        RuntimeError: The helper was killed.
    """
    return _begun(work, *args)() if _FREE else work(*args)


@contextmanager
def work_in_helper(work: Callable[..., object], *args: object) -> Iterator[None]:
    """Have the helper do something while the block runs; in this process, after it, without one.

    The end of the block waits, also where the block failed: who tries again finds nobody that
    still writes the same files.

    Raises:
        RuntimeError: The helper was killed.
    """
    if not _FREE:
        yield
        work(*args)
        return
    answer = _begun(work, *args)
    try:
        yield
    except Exception:
        with suppress(Exception):  # the block's error is the one to tell
            answer()
        raise
    answer()


def _begun(work: Callable[..., R], *args: object) -> Callable[[], R]:
    """Have the helper begin something; what is returned waits for the result."""
    mine = _FREE.pop()
    try:
        mine.pipe.send((work, args))
    except (BrokenPipeError, ConnectionResetError):
        raise mine.lost() from None
    return mine.answer


def main(pipe: int, modules: Sequence[str]) -> None:
    """For each work, import, wait, do it, and answer with the result or the error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to answer
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    with Connection(pipe) as caller, suppress(EOFError):  # that nobody needs it, too, is an end
        for needed in modules:
            with undisturbed():
                for module in needed.split():
                    importlib.import_module(module)
            work, args = caller.recv()
            try:
                answer = (True, work(*args))
            except Exception as error:
                error.add_note(traceback.format_exc())
                answer = (False, [error, *_causes(error)])
            caller.send(answer)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What caused an error, which pickle forgets: a full disk is known by it, whoever says it."""
    cause = error.__cause__
    while cause is not None:
        try:
            pickle.loads(pickle.dumps(cause))  # noqa: S301  its own
        except Exception:  # of a class that cannot be made again from its arguments
            return
        yield cause
        cause = cause.__cause__


def end_with(caller: int) -> None:
    """A caller that was killed waits for no answer."""
    while os.getppid() == caller:
        time.sleep(POLL_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
