"""Something done beside a test, in a thread; when it fails, the test fails at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Alongside(Generic[T]):
    """What goes on beside the test, and what came out of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.error: BaseException | None = None
        self._work, self._result = work, []
        self._waits = threading.main_thread()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def result(self, timeout: float = 300) -> T:
        """What the work gave, once it has."""
        self.thread.join(timeout)
        assert not self.thread.is_alive(), "what goes on beside the test does not end"
        (result,) = self._result
        return result

    def _run(self) -> None:
        try:
            self._result.append(self._work())
        except BaseException as error:
            self.error = error
            signal.pthread_kill(self._waits.ident, signal.SIGUSR2)


@contextmanager
def alongside(work: Callable[[], T]) -> Iterator[Alongside[T]]:
    """Do something in a thread while the block runs; the block is interrupted when it fails.

    A thread that dies by itself leaves the test waiting for what will never come.
    """
    running = Alongside(work)

    def interrupt(signum: int, frame: object) -> None:
        raise AssertionError(f"what goes on beside the test failed: {running.error!r}")

    before = signal.signal(signal.SIGUSR2, interrupt)
    try:
        running.thread.start()
        yield running
        running.thread.join(600)
    finally:
        signal.signal(signal.SIGUSR2, before)
        if running.error is not None:
            raise running.error
