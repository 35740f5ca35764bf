"""SIGTERM and Ctrl-C while a detector learns: first a checkpoint, then the signal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dagmm_model.base.checkpoint import TrainingStopped

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: object) -> None:
        waiting.append(number)
        restore()

    for number in SIGNALS:
        signal.signal(number, note)
    try:
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
