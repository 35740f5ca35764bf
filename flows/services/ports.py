"""A port of loopback for pages: the one of the settings, or the next that is free."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from flows.common.errors import ServiceUnreachable
from flows.services import servers

PORTS_TRIED = 20


def next_free(wanted: int, variable: str, tell: Callable[[str], None]) -> int:
    """A port for pages.

    Args:
        wanted: From the settings.
        variable: That sets it.
        tell: Is told when another one is taken.

    Raises:
        ServiceUnreachable: It was set, and something that is not of this home listens there.
    """
    if is_free(wanted):
        return wanted
    message = f"port {wanted} is taken by something that is not of this home"
    if os.environ.get(variable):
        raise ServiceUnreachable(f"{message}; end it, or set {variable} to another port")
    port = next((p for p in range(wanted + 1, wanted + PORTS_TRIED) if is_free(p)), None)
    port = port or servers.free_port()
    tell(f"{message}; {port} is used instead ({variable} sets it)")
    return port


def is_free(port: int) -> bool:
    """Whether a server can listen on a port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
