"""Prefect's clients of this process, pointed at a server for a while."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from flows.common.settings import environment_kept

SEND_SECONDS = 10.0


CLIENT = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_UI_URL")


@contextmanager
def clients_of(url: str, auth: str, pages: str) -> Iterator[None]:
    """Have Prefect's clients, here and in processes started from here, talk to a server.

    Args:
        url: Where it answers.
        auth: Its login.
        pages: Where a browser will find it.
    """
    wanted = dict(zip(CLIENT, (f"{url}/api", auth, pages), strict=True))
    with ExitStack() as stack:
        stack.enter_context(environment_kept(*CLIENT))
        os.environ.update(wanted)
        if "prefect" in sys.modules:  # which has read the environment
            from prefect import settings as known

            updates = {getattr(known, name): value for name, value in wanted.items()}
            stack.enter_context(known.temporary_settings(updates))
        try:
            yield
        finally:
            _send_what_waits()


def _send_what_waits() -> None:
    """Have Prefect's clients send the events and log lines that they hold, while the server lives.

    They would try it again and again when this process ends, and keep it from ending.
    """
    if "prefect.events.worker" not in sys.modules:
        return
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    def send() -> None:
        for worker in (EventsWorker, APILogWorker):
            worker.drain_all(timeout=SEND_SECONDS)

    thread = threading.Thread(target=send)  # we may stand in an event loop, as notebooks do
    thread.start()
    thread.join()
