"""The database of verdicts: that of the registry, with our own tables, which Alembic migrates.

Writers follow one another, so that what is read in a transaction is still so when it is written: on
SQLite by its own write lock, on PostgreSQL by an advisory one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from data_checks.readers.database.sql import database_errors, safe_name
from flows.common.errors import UsageError
from flows.verdicts.tables import HEAD, VERSION_TABLE

LOCK = 0x6461676D6D  # "dagmm"
WAIT_SECONDS = 60
MIGRATIONS = Path(__file__).with_name("migrations")


@contextmanager
def writing(url: str) -> Iterator[sa.Connection]:
    """A transaction that no other writer of verdicts is in; tables are made or migrated first.

    Raises:
        UsageError: The database is neither SQLite nor PostgreSQL, or its tables are newer.
        UnreachableError: The database does not answer.
    """
    with _engine(url, "BEGIN IMMEDIATE") as engine, engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
        if _revision(connection) != HEAD:
            _migrate(connection, url)
        yield connection


@contextmanager
def reading(url: str) -> Iterator[sa.Connection | None]:
    """A transaction to read in; None where nobody has given a verdict yet.

    Raises:
        UsageError: The database is neither SQLite nor PostgreSQL, or its tables are newer.
        UnreachableError: The database does not answer.
    """
    file = sa.make_url(url).database if url.startswith("sqlite") else None
    if file and not Path(file).exists():  # which connecting would make
        yield None
        return
    with _engine(url, "BEGIN") as engine:
        with engine.connect() as connection:
            revision = _revision(connection)
        if revision is None:
            yield None
            return
        if revision != HEAD:
            with writing(url):
                pass
        with engine.connect() as connection:
            yield connection


@contextmanager
def _engine(url: str, begin: str) -> Iterator[sa.Engine]:
    with database_errors(url):
        kind = sa.make_url(url).get_backend_name()
        if kind not in {"sqlite", "postgresql"}:  # before its driver is looked for
            raise UsageError(
                f"verdicts are kept in SQLite or PostgreSQL, not in {kind} "
                f"({safe_name(url)}); set DAGMM_VERDICTS_URI"
            )
        engine = sa.create_engine(url, **_options(url))
        if engine.dialect.name == "sqlite":
            _begin_with(engine, begin)
        try:
            yield engine
        finally:
            engine.dispose()


def _options(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": WAIT_SECONDS}}
    return {"connect_args": {"connect_timeout": 10}} if url.startswith("postgresql") else {}


def _begin_with(engine: sa.Engine, begin: str) -> None:
    """Have SQLite's driver leave transactions to us, and a writer's begin by taking the lock.

    As SQLAlchemy's page on pysqlite has it; the driver's own transactions begin too late, and not
    before statements that make tables.
    """

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    column: sa.Column[str] = sa.column("version_num")
    return connection.execute(sa.select(column).select_from(sa.table(VERSION_TABLE))).scalar()


def _migrate(connection: sa.Connection, url: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise UsageError(
            f"the verdicts in {safe_name(url)} were written by a newer version of this program "
            f"({error}); install that one"
        ) from None
