"""What has been sent, and what could not be: a small file that all processes share."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from flows.notify.event import Event
from flows.stages.workspace import write_atomic

WAIT_SECONDS = 2.0
TELLING_SECONDS = 90.0
"""After this long, whoever was about to tell is taken for dead."""
KEPT_SECONDS = 86_400.0
MOST_WAITING = 50


class Memory:
    """State of the messages of one home.

    A message is first *claimed*, so that of two processes one tells it, and *told* when it has
    arrived. One that could not be delivered waits, and goes out with the next one, for a day. What
    a process that was killed had claimed is free again after `TELLING_SECONDS`.
    """

    def __init__(self, home: Path) -> None:
        self._file = home / "notify.json"

    def claim(self, target: str, event: Event, now: float, cool_down: float) -> int | None:
        """Take it on oneself to tell an event; None when that is done, or being done.

        Returns:
            How often the same was kept back since it was last told.
        """
        with self._open() as state:
            each = state["told"].setdefault(f"{target}\n{event.key}", {})
            if _within(cool_down, each.get("told"), now) or _is_claimed(each, now):
                each["before"] = each.get("before", 0) + 1
                return None
            each["claimed"] = now
            return int(each.get("before", 0))

    def told(self, target: str, event: Event, now: float, *, arrived: bool) -> None:
        """Say what became of a claimed event."""
        with self._open() as state:
            each = state["told"].setdefault(f"{target}\n{event.key}", {})
            each.pop("claimed", None)
            # Also where it waits: it is going to be told.
            each.update(told=now, before=0)
            news = {"target": target, "event": asdict(event)}
            same = [w for w in state["waiting"] if news.items() <= w.items()]
            kept = [w for w in state["waiting"] if w not in same]
            if not arrived:
                kept.append(news | {"since": min([now, *(w["since"] for w in same)])})
            state["waiting"] = kept[-MOST_WAITING:]
            fresh = {
                key: value
                for key, value in state["told"].items()
                if now - max(value.get("told", 0.0), value.get("claimed", 0.0)) < 30 * KEPT_SECONDS
            }
            state["told"] = fresh

    def claim_waiting(self, now: float) -> list[tuple[str, Event]]:
        """Messages that wait for another try, except those that somebody else is telling."""
        with self._open() as state:
            fresh = [w for w in state["waiting"] if _within(KEPT_SECONDS, w["since"], now)]
            free = [w for w in fresh if not _is_claimed(w, now)]
            for each in free:
                each["claimed"] = now
            state["waiting"] = fresh
            return [(each["target"], Event(**each["event"])) for each in free]

    @contextmanager
    def _open(self) -> Iterator[dict[str, Any]]:
        """The state, written back as a whole when the block ends.

        Raises:
            TimeoutError: Another process does not let go of it.
        """
        self._file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(f"{self._file}.lock", timeout=WAIT_SECONDS):
                state = self._read()
                yield state
                write_atomic(self._file, json.dumps(state))
        except Timeout:
            raise TimeoutError(f"{self._file} is locked by another process") from None

    def _read(self) -> dict[str, Any]:
        try:
            state = json.loads(self._file.read_text(encoding="utf-8"))
            return {"told": dict(state["told"]), "waiting": list(state["waiting"])}
        except (OSError, ValueError, LookupError, TypeError):  # none yet, or damaged: start over
            return {"told": {}, "waiting": []}


def _is_claimed(entry: dict[str, Any], now: float) -> bool:
    return _within(TELLING_SECONDS, entry.get("claimed"), now)


def _within(seconds: float, moment: float | None, now: float) -> bool:
    """Whether a moment is that near.

    One just to come is of a process that looked at the clock later; one further away, of a clock
    that was wrong.
    """
    return moment is not None and abs(now - moment) < seconds
