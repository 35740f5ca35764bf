"""Nothing of the tests waits for the disk: what they have written helps nobody afterwards.

A commit of SQLite waits 5 to 30 ms for a busy disk, and one test of promotion makes hundreds; so
does a checkpoint. What a process has written is there when it is killed, as ever; only a machine
without power would lose it.
"""

import os
import sqlite3

import sqlalchemy as sa

os.fsync = lambda _descriptor: None


@sa.event.listens_for(sa.Engine, "connect")
def do_not_wait(connection: object, _record: object) -> None:
    """Every connection that SQLAlchemy opens in this process, MLflow's as well as ours."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")
