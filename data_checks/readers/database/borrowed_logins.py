"""Whose host is sent a login that the environment holds.

A contract may come from somebody else, and its `url` names a host. A driver would send the password
of the environment to whatever that host is, so a contract's URL gets it only where the environment
names that host itself.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from data_checks.base.errors import SourceError

if TYPE_CHECKING:
    import sqlalchemy as sa

_MYSQL = ("MYSQL_HOST", ("MYSQL_PWD",))
_POSTGRESQL = ("PGHOST", ("PGPASSWORD", "PGSERVICE"))
"""The variable that names a host, and those from which the drivers take what proves who we are."""
_HOST_OPTIONS = ("host", "hostaddr", "unix_socket")
_LOGIN_OPTIONS = ("service", "servicefile", "passfile", "read_default_file", "read_default_group")


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
