"""Signals that end a process, held back while something must be completed: a checkpoint, a run."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dagmm_model.base.checkpoint import TrainingStopped

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, who asks a process to end, and a terminal that is gone."""


def heeded() -> dict[signal.Signals, Any]:
    """Handlers of these signals, but for one that this process ignores, as `nohup` has it."""
    handlers = {number: signal.getsignal(number) for number in ENDING}
    return {number: how for number, how in handlers.items() if how is not signal.SIG_IGN}


@contextmanager
def held_back() -> Iterator[Callable[[], bool]]:
    """Hold the first signal back while the block works; it is delivered when the block ends.

    A second signal acts at once.

    Yields:
        Whether a signal is waiting.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # signals reach the main thread only
        return
    waiting: list[int] = []
    before = heeded()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: object) -> None:
        waiting.append(number)
        restore()

    try:
        for number in before:
            signal.signal(number, note)
        yield lambda: bool(waiting)
    except TrainingStopped:
        restore()
        # Another rank may have been told: this one ends as if it had been, too.
        signal.raise_signal(waiting[0] if waiting else signal.SIGTERM)
        raise
    finally:
        restore()
    if waiting:
        signal.raise_signal(waiting[0])


def reached(step: str) -> None:
    """A point at which the process may die; the tests make it die here."""
