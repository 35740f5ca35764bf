"""The shadow of a server: rows that were answered wait in a queue for the candidate.

Whoever answers only puts them there. Rows for which the queue has no room are counted and
forgotten: a slow candidate makes no answer late, and one that fails makes none fail.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mlflow.tracking import MlflowClient

from flows.common import progress
from flows.common.errors import message_of
from flows.common.settings import Settings
from flows.shadow.agreement import Agreement
from flows.shadow.record import write_down
from flows.shadow.version import Rows, Version

QUEUED = 64
"""Requests that may wait."""
WRITE_SECONDS = 300.0
"""Time between two writes to MLflow, which keeps every one of them."""

Offered = tuple[Version, Callable[[], Rows], np.ndarray]
"""What answered, the raw rows, their energies."""


@dataclass
class Sitting:
    """Two versions, and what was found about them by this server."""

    first: Version
    candidate: Version
    agreement: Agreement
    run_id: str = ""
    written: int = 0


class ShadowWorker:
    """Compares a candidate with the version that answers, in a thread of its own."""

    def __init__(
        self,
        client: MlflowClient,
        settings: Settings,
        candidate: Callable[[], Version | None],
        write_seconds: float = WRITE_SECONDS,
    ) -> None:
        self.sitting: Sitting | None = None
        self.dropped = self.failures = 0
        self.failure = ""
        self._client, self._settings, self._candidate = client, settings, candidate
        self._seconds = write_seconds
        self._waiting: queue.Queue[Offered | None] = queue.Queue(QUEUED)
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def offer(self, first: Version, rows: Callable[[], Rows], energy: np.ndarray) -> None:
        """Rows that were answered; takes microseconds and raises nothing.

        Args:
            first: Version that answered.
            rows: Reads the ``(n,)`` raw rows, all of which it scored.
            energy: ``(n,)`` what it gave.
        """
        try:
            self._waiting.put_nowait((first, rows, energy))
        except queue.Full:
            self.dropped += len(energy)

    def stop(self, seconds: float = 10.0) -> None:
        """Take what waits, write it down and end; gives up after a while."""
        try:
            self._waiting.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _run(self) -> None:
        due = time.monotonic() + self._seconds
        while True:
            try:
                work = self._waiting.get(timeout=max(due - time.monotonic(), 0.01))
            except queue.Empty:
                pass
            else:
                if work is None:
                    break
                self._safely(lambda work=work: self._compare(*work))
            if time.monotonic() >= due:
                self._safely(self._write)
                due = time.monotonic() + self._seconds
        self._safely(self._write)

    def _compare(self, first: Version, rows: Callable[[], Rows], energy: np.ndarray) -> None:
        candidate = self._candidate()
        if candidate is None or candidate.number == first.number:
            return
        now = self.sitting
        if now is None or not (now.first.same_as(first) and now.candidate.same_as(candidate)):
            self._safely(self._write)
            now = self.sitting = Sitting(first, candidate, Agreement())
        now.agreement.add(first, candidate, rows(), energy, np.ones(len(energy), bool))

    def _write(self) -> None:
        now = self.sitting
        if now is not None and now.agreement.rows > now.written:
            now.run_id = write_down(
                self._client,
                self._settings,
                now.first,
                now.candidate,
                now.agreement,
                "dagmm api --shadow",
                now.run_id,
            )
            now.written = now.agreement.rows

    def _safely(self, work: Callable[[], None]) -> None:
        """Do something of which nobody but the shadow may notice that it failed."""
        try:
            work()
        except Exception as error:
            self.failures += 1
            if self.failure != (why := message_of(error)):
                self.failure = why
                progress.note(f"the shadow: {why}")
