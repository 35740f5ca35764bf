"""Threads that score large requests; beside each, when there is much to do, a process.

Python runs one thread of a process at a time, and half of what a request takes is Python. So a
thread hands its request to the process beside it, and waits. What such a process has was handed to
it by this one: a version that was compared with its seal. It replays the canary rows, and scores by
this version alone. Whenever there is none that does, the thread scores: while a process starts or
takes another version, and after it was killed, which no request notices.

    python -m flows.api.workers PIPE
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from dagmm_model.base.processors import blas_threads, processors
from dagmm_model.detectors.bundle import Scores
from flows.api.answers import Asked, answer
from flows.api.model import ServedModel
from flows.api.refusals import server_ending
from flows.services.helper import end_with, piped

Key = tuple[str, str]
"""Which version: its address and the digest of its evidence."""
NOTHING: Key = ("", "")
GONE = (EOFError, OSError)
"""What is raised by a pipe whose other end is closed."""
RESTART_SECONDS = 1.0
"""Until another is started in the place of one that was lost: it may be lost as well."""
NEW_OBJECTS = 100_000
"""Between two looks for garbage: a request makes a list and a dictionary of every row."""


class Workers:
    """As many threads as there are processors, and processes once two requests come at once.

    Args:
        processes: Most processes; 0 for threads alone. By default one for each processor, where
            there are several.
    """

    def __init__(self, processes: int | None = None) -> None:
        most = processors()
        self._most = most if processes is None and most > 1 else processes or 0
        self._pool = ThreadPoolExecutor(max(most, self._most), thread_name_prefix="score")
        self._beside: dict[int, _Process] = {}
        self._lock = threading.Lock()
        self._under_way = 0
        self._ended = False
        self._again = 0.0
        self.lost = 0
        """Processes that ended without being told to."""

    @property
    def running(self) -> int:
        """Processes there are."""
        return len(self._beside)

    async def answer(self, model: ServedModel, asked: Asked, body: bytes) -> tuple[bytes, Scores]:
        """See `answers.answer`.

        Raises:
            Refused: The body cannot be read, a row not be scored, or the end has come.
            CancelledError: The end came before a thread was free.
        """
        self._under_way += 1
        try:
            loop, start = asyncio.get_running_loop(), self._under_way > 1
            return await loop.run_in_executor(self._pool, self.work, model, asked, body, start)
        finally:
            self._under_way -= 1

    def work(
        self, model: ServedModel, asked: Asked, body: bytes, start: bool
    ) -> tuple[bytes, Scores]:
        """The same, in a thread; with a process beside it from now on where one is to start.

        Raises:
            Refused: The body cannot be read, a row not be scored, or the end has come.
        """
        answered = self._by_process(model, asked, body, start)
        if answered is None:
            if self._ended:
                raise server_ending()
            return answer(model, asked, body)
        done, result = answered
        if not done:  # here, not where a lost pipe is caught: scoring may fail with an OSError, too
            raise result
        return result

    def _by_process(
        self, model: ServedModel, asked: Asked, body: bytes, start: bool
    ) -> tuple[bool, Any] | None:
        """What the process beside this thread says, or None where none does."""
        thread = threading.get_ident()
        try:
            if start:
                self._start(thread)
            process = self._beside.get(thread)
            if process is not None and process.scores_by(model):
                return process.answer(asked, body)
        except GONE:
            gone = self._beside.pop(thread, None)
            if gone is not None:
                gone.end()
                self.lost += not self._ended
            self._again = time.monotonic() + RESTART_SECONDS
        return None

    def _start(self, thread: int) -> None:
        with self._lock:
            room = len(self._beside) < self._most and thread not in self._beside
            if room and not self._ended and time.monotonic() >= self._again:
                self._beside[thread] = _Process()

    def end(self) -> None:
        """End the processes, also in the middle of their work, and the threads.

        What waits for either is refused, not scored.
        """
        with self._lock:  # none is being started now, and none will be
            self._ended = True
            every = list(self._beside.values())
        for process in every:
            process.kill()
        self._pool.shutdown(cancel_futures=True)
        for process in every:
            process.end()


@contextmanager
def scoring(processes: int | None = None) -> Iterator[Workers]:
    """Workers until the block ends; each of their threads has one of the BLAS library."""
    workers = Workers(processes)  # as many as `processors`, which reads the limit
    with blas_threads().limit(limits=1):
        try:
            yield workers
        finally:
            workers.end()


class _Process:
    """A process that scores by one version, or gets ready to; for one thread at a time."""

    def __init__(self) -> None:
        self._process, self._pipe = piped(
            __name__,
            process_group=0,  # Ctrl-C is the server's to answer
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self._has, self._given, self._reads = NOTHING, NOTHING, False

    def scores_by(self, model: ServedModel) -> bool:
        """Whether it scores by that version; where not, it is given it, once and without waiting.

        Raises:
            EOFError, OSError: It is gone.
        """
        wanted = (model.uri, model.sealed)
        if not self._reads and self._pipe.poll():
            self._has, self._reads = self._pipe.recv(), True
        if self._reads and wanted not in (self._has, self._given):
            self._given = wanted
            self._reads = not _sent(self._pipe, replace(model))  # without what it has in its cache
        return self._reads and self._has == wanted

    def answer(self, asked: Asked, body: bytes) -> tuple[bool, Any]:
        """Whether there is an answer, and what `answers.answer` returned there, or raised.

        Raises:
            EOFError, OSError: It is gone.
        """
        self._pipe.send((asked, body))
        answered: tuple[bool, Any] = self._pipe.recv()
        return answered

    def kill(self) -> None:
        """Have it end, whatever it does."""
        self._process.kill()

    def end(self) -> None:
        """The same, and wait until it has."""
        self.kill()
        self._process.wait()
        self._pipe.close()


def _sent(pipe: Connection[Any, Any], model: ServedModel) -> bool:
    try:
        pipe.send(model)
    except GONE:
        raise
    except Exception:  # a detector that cannot be pickled: before anything was sent
        traceback.print_exc()
        return False
    return True


def main(pipe: int) -> None:
    """Take versions and requests until nobody sends any."""
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    with Connection(pipe) as caller, suppress(*GONE), blas_threads().limit(limits=1):
        model: ServedModel | None = None
        gc.freeze()
        gc.set_threshold(NEW_OBJECTS)
        caller.send(NOTHING)
        while True:
            given = _received(caller)
            if isinstance(given, tuple):
                caller.send(_answered(model, *given))
            else:
                model = _replayed(given)
                caller.send(NOTHING if model is None else (model.uri, model.sealed))


def _received(caller: Connection[Any, Any]) -> Any:
    """A request, a version, or None for a version that this process cannot read."""
    try:
        return caller.recv()
    except GONE:
        raise
    except Exception:
        traceback.print_exc()
        return None


def _replayed(model: ServedModel | None) -> ServedModel | None:
    """The version, or None where it does not answer as recorded: the server's threads score."""
    try:
        if model is not None:
            model.bundle.warm_up()
            model.replay()
    except Exception:
        traceback.print_exc()
        return None
    return model


def _answered(model: Any, asked: Asked, body: bytes) -> tuple[bool, Any]:
    try:
        return True, answer(model, asked, body)
    except Exception as error:
        return False, error


if __name__ == "__main__":
    from flows.api import workers

    workers.main(int(sys.argv[1]))
