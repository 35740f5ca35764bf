"""Any SQLAlchemy URL and query, streamed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data_checks.base.errors import SourceError, UnreachableError
from data_checks.base.locations import is_url
from data_checks.contract.column_names import Columns, check_names
from data_checks.contract.source_settings import SqlSource, has_credentials
from data_checks.readers.database.guards import (
    check_query,
    forbid_writing,
    read_only_engine,
    refuse_borrowed_login,
)

if TYPE_CHECKING:
    import sqlalchemy as sa

BATCH_ROWS = 50_000
_REMEDIES = {
    "psycopg": "pip install 'dagmm-pipeline[postgres]'",
    "psycopg2": "write postgresql+psycopg://",
}


def database_url(source: SqlSource, override: str | None) -> str:
    """The URL to connect to.

    Raises:
        SourceError: the environment variable is not set, `override` holds a password, or the
            contract's URL would be sent a login that it was not given.
    """
    if override is not None:
        if has_credentials(override):
            raise SourceError(
                "the database URL holds a password; give it through source.url_variable or the "
                "driver's own environment variables (PGPASSWORD), never on the command line."
            )
        return override
    if source.url is not None:
        if is_url(source.url):
            with database_errors(source.url):
                refuse_borrowed_login(safe_name(source.url), parsed_url(source.url))
        return source.url
    variable = source.url_variable or ""
    if url := os.environ.get(variable):
        return url
    raise SourceError(f"the environment variable {variable} with the database URL is not set.")


def read_sql(url: str, source: SqlSource, columns: Columns) -> Iterator[pa.RecordBatch]:
    """Run the query and stream its rows; a query that writes is refused. The URL is in no message.

    Raises:
        UnreachableError: the database did not answer.
        SourceError: the query failed, does not only read, or lacks a column.
    """
    place = safe_name(url)
    with database_errors(url):
        address = parsed_url(url)
        check_query(place, source.query, address)
        engine = read_only_engine(address)
        try:
            with engine.connect() as connection, connection.begin() as transaction:
                forbid_writing(connection)
                streamed = connection.execution_options(
                    stream_results=True, max_row_buffer=BATCH_ROWS, no_parameters=True
                )
                # As it stands: a `:word` or a `%` in it, quoted or not, is no parameter.
                result = streamed.exec_driver_sql(source.query)
                if not result.returns_rows:
                    raise SourceError(f"{place}: the query returns no rows; it must be a SELECT.")
                names = list(result.keys())
                check_names(place, names, columns.wanted, "; name it in the SELECT.")
                columns.refuse_extra(place, names)
                for rows in result.partitions(BATCH_ROWS):
                    yield _batch(names, rows, columns.wanted)
                transaction.rollback()
        finally:
            engine.dispose()


def parsed_url(url: str) -> sa.URL:
    """A database URL in its parts.

    Raises:
        sqlalchemy.exc.ArgumentError: it is none.
    """
    import sqlalchemy as sa

    try:
        return sa.make_url(url)
    except ValueError as error:  # SQLAlchemy's own for all but the port
        raise sa.exc.ArgumentError("not a number for a port") from error


@contextmanager
def database_errors(url: str) -> Iterator[None]:
    """Turn what SQLAlchemy or a driver raises into one message without the password.

    Raises:
        UnreachableError: the database did not answer.
        SourceError: anything else.
    """
    import sqlalchemy as sa

    place = safe_name(url)
    try:
        yield
    except sa.exc.NoSuchModuleError as error:
        raise SourceError(f"{place}: no driver for this kind of database is installed.") from error
    except ModuleNotFoundError as error:
        remedy = _REMEDIES.get(error.name or "", "install it with pip")
        raise SourceError(
            f"{place}: the driver {error.name} is not installed; {remedy}."
        ) from error
    except sa.exc.ArgumentError as error:
        raise SourceError(f"{place}: not a SQLAlchemy URL (dialect://host/database).") from error
    except sa.exc.OperationalError as error:
        kind = UnreachableError if error.statement is None else SourceError
        raise kind(f"{place}: {_first_line(error, url)}") from None
    except sa.exc.SQLAlchemyError as error:
        # `from None`: the chained exception would print the URL's parts and the parameters.
        raise SourceError(f"{place}: {_first_line(error, url)}") from None


def safe_name(url: str) -> str:
    """A database URL without user, password and query string."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return "database"
    return f"{scheme}://{rest.split('?', 1)[0].rpartition('@')[2]}"


def _batch(names: list[str], rows: Sequence[Any], wanted: Sequence[str]) -> pa.RecordBatch:
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return pa.RecordBatch.from_arrays(
        [_array(columns[name]) for name in wanted], names=list(wanted)
    )


def _array(values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # SQLite columns may mix types; as text, the contract's cast judges value by value.
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _first_line(error: Any, url: str) -> str:
    import sqlalchemy as sa

    text = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    password = sa.make_url(url).password
    return text.replace(str(password), "***") if password else text
