"""A signal waits for the end of a transaction in the home's store.

Between a statement and the rows that it gives, an exception leaves SQLite's cursor open, and with
it a lock on the file: nobody could close the run then, until this process has ended.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

from flows.common.signals import held_back

SCHEME = "sqlite:///"
OURS = "dagmm.store"
"""Whether a connection is one to the store; kept with it."""


@contextmanager
def whole_transactions(store: str) -> Iterator[None]:
    """Deliver signals between transactions while the block works.

    Args:
        store: Address of MLflow's store. Only SQLite's are opened by this process.
    """
    if not store.startswith(SCHEME) or current_thread() is not main_thread():
        yield
        return
    from sqlalchemy import event
    from sqlalchemy.pool import Pool

    path = Path(store.removeprefix(SCHEME)).resolve()
    held: dict[int, ExitStack] = {}

    def checked_out(connection: Any, record: Any, _proxy: Any) -> None:
        if OURS not in record.info:
            record.info[OURS] = _file(connection) == path
        if record.info[OURS] and current_thread() is main_thread():
            held[id(record)] = ExitStack()
            held[id(record)].enter_context(held_back())

    def checked_in(_connection: Any, record: Any) -> None:
        if id(record) in held and current_thread() is main_thread():
            held.pop(id(record)).close()  # raises what the signal that came raises

    event.listen(Pool, "checkout", checked_out)
    event.listen(Pool, "checkin", checked_in)
    try:
        yield
    finally:
        event.remove(Pool, "checkout", checked_out)
        event.remove(Pool, "checkin", checked_in)
        for hold in held.values():
            hold.close()


def _file(connection: Any) -> Path | None:
    """The file that a connection has open; None where it is not one of SQLite's."""
    if not isinstance(connection, sqlite3.Connection):
        return None
    files = [Path(file) for _, name, file in connection.execute("PRAGMA database_list") if file]
    return files[0].resolve() if files else None
