"""uvicorn's server, which says when it serves, and waits for no request for ever."""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import uvicorn

HEAD_SECONDS = 10.0
"""In which the head of a request has to arrive. uvicorn itself waits for ever, so that a few
hundred connections on which nothing comes would keep everybody out, with or without a token."""
LEAVING_SECONDS = 0.2
"""Between the signal to end and the end of listening. The kernel accepts connections in the
server's name; what waits there when it stops to listen would be reset, and its client could not
tell whether the request was worked on."""
TICKS = 10
"""Of uvicorn, a tenth of a second each, between two looks at the connections."""


class Server(uvicorn.Server):
    """Serves until it is told to end.

    Args:
        config: Of uvicorn.
        announce: Is called once the server answers and also ends as it is asked to: whoever is told
            may stop it.
    """

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce
        self.cut_off = 0
        """Requests that were refused at the end, because they took too long."""
        self._waiting: WeakKeyDictionary[Any, tuple[object, float]] = WeakKeyDictionary()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer; signals are uvicorn's from before here on."""
        await super().startup(sockets)
        self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way, as long as the configuration allows; cancel the rest.

        Who connects meanwhile is told to come again (503), and after a moment nobody can connect.
        """
        self.config.limit_concurrency = 0
        await asyncio.sleep(LEAVING_SECONDS)
        await super().shutdown(sockets)
        self.cut_off = len(self.server_state.tasks)

    async def on_tick(self, counter: int) -> bool:
        """Look at the connections beside what uvicorn does."""
        if counter % TICKS == 0:
            self._close_silent(time.monotonic())
        return await super().on_tick(counter)

    def _close_silent(self, now: float) -> None:
        """Close connections on which the head of a request has not come in time.

        Between two requests the protocol's cycle is the one that was answered; before the first
        there is none.
        """
        for connection in list(self.server_state.connections):
            cycle: Any = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                self._waiting.pop(connection, None)
                continue
            after, since = self._waiting.get(connection, (cycle, now))
            if after is not cycle:
                since = now
            self._waiting[connection] = cycle, since
            if now - since > HEAD_SECONDS:
                connection.transport.close()  # type: ignore[union-attr]
