"""What a contract's query may do, and whose host is sent a login that the environment holds.

A contract may come from somebody else. Some statements (SQLite's `VACUUM INTO`, any DDL of some
databases) cannot be undone by a rollback: queries that would not only read are refused before they
run, and run where none can. The URL names a host, and a driver would send the password of the
environment to whatever that is: it gets it only where the environment names that host itself.
"""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from data_checks.base.errors import MissingDataError, SourceError

if TYPE_CHECKING:
    import sqlalchemy as sa

_READING = re.compile(r"[(\s]*(select|with|values|table|from)\b", re.IGNORECASE)
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/""", re.DOTALL)
_AMBIGUOUS = ("\\", "$", "#", "`", "[", "/*")
"""What some databases quote or comment with and others do not: a `;` may hide behind it."""
_WRITING = re.compile(
    r"\b(insert|update|delete|merge|into|create|alter|drop|truncate|exec|execute|call|copy|attach"
    r"|detach|install|load)\b",
    re.IGNORECASE,
)
_BESIDE = re.compile(
    r'\b(dblink\w*|lo_export|lo_import|query_to_xml\w*|pg_(?!typeof\b)\w+(?="?\s*\()|u&(?="))',
    re.IGNORECASE,
)
"""Functions of PostgreSQL that act on other databases, files and the server itself, which no
transaction holds; and what could hide their names."""
_GUARDED = ("sqlite", "postgresql")
"""Databases that are told to refuse writing."""
_DENIED = (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA)
_MYSQL = ("MYSQL_HOST", ("MYSQL_PWD",))
_POSTGRESQL = ("PGHOST", ("PGPASSWORD", "PGSERVICE"))
"""The variable that names a host, and those from which the drivers take what proves who we are."""
_HOST_OPTIONS = ("host", "hostaddr", "unix_socket")
_LOGIN_OPTIONS = ("service", "servicefile", "passfile", "read_default_file", "read_default_group")


def check_query(place: str, query: str, url: sa.URL) -> None:
    """Refuse what is not one statement that reads.

    Raises:
        SourceError: naming what is wrong with the query.
    """
    body = query.strip().rstrip(";").rstrip()
    bare = _QUOTED.sub(" ", body)
    if ";" in bare or (";" in body and any(mark in body for mark in _AMBIGUOUS)):
        raise SourceError(
            f"{place}: the query must be one SELECT; this one holds a ';', behind which another "
            "statement may stand."
        )
    if not _READING.match(bare):
        first = (bare.split() or ["nothing"])[0][:40]
        raise SourceError(f"{place}: the query must be a SELECT; it begins with {first!r}.")
    if url.get_backend_name() not in _GUARDED and (verb := _WRITING.search(bare)):
        raise SourceError(
            f"{place}: the query must only read; {verb[0]!r} may write. Put a column of that name "
            "in quotes."
        )
    named = _QUOTED.sub(lambda match: match[0] if match[0][0] == '"' else " ", body)
    if url.get_backend_name() == "postgresql" and (function := _BESIDE.search(named)):
        raise SourceError(
            f"{place}: the query must only read; {function[0]!r} acts outside of its transaction."
        )


def read_only_engine(url: sa.URL) -> sa.Engine:
    """An engine whose connections read, where the database knows such a thing.

    SQLite is opened read-only; a PostgreSQL transaction is READ ONLY.

    Raises:
        MissingDataError: a SQLite file is not there; it is not made.
    """
    import sqlalchemy as sa

    if url.get_backend_name() != "sqlite":
        engine = sa.create_engine(url)
        reading = {"postgresql_readonly": True} if engine.name == "postgresql" else {}
        return engine.execution_options(**reading)
    database = url.database or ""
    file = Path(unquote(urlsplit(database).path) if database.startswith("file:") else database)
    if not file.is_file():
        raise MissingDataError(f"sqlite:///{database and file}: no such file.")
    address = f"{file.absolute().as_uri()}?mode=ro"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, uri=True, check_same_thread=False)

    return sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool)


def forbid_writing(connection: sa.Connection) -> None:
    """Have SQLite refuse other files and settings, before the query of a contract runs."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
        driver: Any = connection.connection.driver_connection
        driver.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if action in _DENIED else sqlite3.SQLITE_OK
        )


def refuse_borrowed_login(place: str, url: sa.URL) -> None:
    """Refuse a contract's URL that would be sent a login of the environment.

    Raises:
        SourceError: naming the variable, the host, and what to do.
    """
    if options := [option for option in _LOGIN_OPTIONS if option in url.query]:
        raise SourceError(
            f"{place}: the contract's url takes a login from a file of this machine "
            f"({', '.join(options)}); name an environment variable with the whole URL in "
            "source.url_variable instead."
        )
    mysql = url.get_backend_name() in ("mysql", "mariadb")
    host_variable, logins = _MYSQL if mysql else _POSTGRESQL
    foreign = _hosts(url) - set(os.environ.get(host_variable, "").split(","))
    given = [name for name in logins if os.environ.get(name)]
    if foreign and given:
        raise SourceError(
            f"{place}: the contract names the host {', '.join(sorted(foreign))}, which would be "
            f"sent the login in {given[0]}. If that login is for it, say so with {host_variable}="
            f"{sorted(foreign)[0]}, or name an environment variable with the whole URL in "
            "source.url_variable."
        )


def _hosts(url: sa.URL) -> set[str]:
    """Every host that a URL names, in its address or as an option."""
    named = [url.host or ""]
    for option in _HOST_OPTIONS:
        given = url.query.get(option, ())
        named += [given] if isinstance(given, str) else given
    return {host for name in named for host in name.split(",") if host}
