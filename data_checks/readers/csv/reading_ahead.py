"""A stream that Arrow may read ahead of us, and that we can leave before its end.

Arrow's reader of delimited text reads in a thread of its own, which ends only when it next asks for
bytes. Behind a remote file, or one in another encoding than UTF-8, stands Python: that thread then
needs Python's lock. Leaving such a stream in the middle (a bad row, a caller that stops) could wait
for ever for a thread that waits for us, or abort the process when the interpreter had gone first.
"""

import atexit
import sys
import threading
import time
from collections import deque
from typing import Any, Self

import pyarrow as pa

_LEFT: deque[Any] = deque(maxlen=16)
"""Readers left before their end: destroyed while their thread reads, they would wait for it and
hold the lock that it needs."""
_END_SECONDS = 2.0


class _Stoppable:
    """A file of Python's that is at its end as soon as it is stopped."""

    closed = False

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._reading = threading.Lock()
        self._stopped = False
        self._thread = 0
        self.ended = threading.Event()

    def read(self, size: int = -1) -> bytes:
        self._thread = threading.get_ident()
        with self._reading:
            data: bytes = b"" if self._stopped else self._stream.read(size)
        if not data:
            self.ended.set()
        return data

    def stop(self) -> None:
        """Wait for the read that is under way; all later ones are at the end."""
        with self._reading:
            self._stopped = True

    def await_end(self) -> None:
        """Wait, for a while, until the thread that reads has met the end and left Python."""
        self.ended.wait(_END_SECONDS)
        last = time.monotonic() + _END_SECONDS
        while self._thread in sys._current_frames() and time.monotonic() < last:
            time.sleep(0.001)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        pass  # whoever opened the stream closes it


class ReadingAhead:
    """What Arrow is handed of a stream, and the reader that it makes of it.

    The stream is taken back at the end of the block, whatever happens.

    Args:
        stream: open for reading bytes; not closed.
    """

    def __init__(self, stream: Any) -> None:
        self._file = _Stoppable(stream)
        self.source = pa.PythonFile(self._file, mode="r")
        self.reader: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Have Arrow's thread end at its next read, and keep what it may still hold until then."""
        read_whole = self._file.ended.is_set()
        self._file.stop()
        if not read_whole:
            _LEFT.append((self.source, self.reader))
            atexit.register(self._file.await_end)
