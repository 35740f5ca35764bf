"""Prefect's server behind a door: `python -m flows.services.prefect_app PORT`.

Prefect's own server lets every page that a browser shows talk to it, under any name that leads to
it. This one asks for the login of the home (Prefect's own check), and refuses requests under
foreign names or from foreign pages before Prefect sees them, as MLflow's server does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

AUTH = "PREFECT_SERVER_API_AUTH_STRING"
CORS = "PREFECT_SERVER_CORS_ALLOWED_ORIGINS"
WHO = "/dagmm-who"
LOGIN = "/dagmm-login"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SCRIPT = (
    "localStorage.setItem('prefect-password', btoa(decodeURIComponent(location.hash.slice(1))));"
    "location.replace('/');"
)
"""Prefect's pages look there for what their own login form asks for. What stands behind the # of
an address is never sent to a server, nor written into its log."""
SCRIPT_SHA256 = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
POLICY = f"default-src 'none'; script-src 'sha256-{SCRIPT_SHA256}'"
PAGE = f"<!doctype html><title>Prefect</title><script>{SCRIPT}</script>"


def origins(port: int) -> str:
    """The pages that may talk to a server on loopback: its own."""
    return ",".join(f"http://{host}:{port}" for host in ("127.0.0.1", "localhost"))


def proof(auth: str, challenge: str) -> str:
    """What only a server that knows the login can answer; it does not tell the login."""
    return hmac.new(auth.encode(), challenge.encode(), hashlib.sha256).hexdigest()


def is_own(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request came under a name of this machine, and from no page of another server."""
    hosts = [value for name, value in headers if name == b"host"]
    came_from = [value for name, value in headers if name == b"origin"]
    if len(hosts) != 1 or len(came_from) > 1:
        return False
    try:
        asked = urlsplit(f"//{hosts[0].decode('ascii')}")
        if asked.hostname not in LOOPBACK:
            return False
        if not came_from:
            return True
        page = urlsplit(came_from[0].decode("ascii"))
        same_port = (page.port or 80) == (asked.port or 80)
    except ValueError:
        return False
    return page.scheme == "http" and page.hostname in LOOPBACK and same_port


@dataclass(frozen=True)
class Door:
    """An application that only lets own requests in, and can prove whose it is."""

    app: App
    auth: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse or pass on one request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif not is_own(scope["headers"]):
            await _refuse(scope, send)
        elif scope["type"] == "http" and scope["path"] == WHO:
            challenge = parse_qs(scope["query_string"].decode("latin-1")).get("challenge", [""])[0]
            await _answer(send, 200, proof(self.auth, challenge), "text/plain")
        elif scope["type"] == "http" and scope["path"] == LOGIN:
            await _answer(send, 200, PAGE, "text/html")
        else:
            await self.app(scope, receive, send)


async def _refuse(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        await _answer(send, 403, "refused: not a page or a name of this server\n", "text/plain")


async def _answer(send: Send, status: int, text: str, kind: str) -> None:
    headers = {
        "content-type": f"{kind}; charset=utf-8",
        "content-security-policy": POLICY,
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": text.encode()})


def main(port: int) -> None:
    """Serve on loopback until a signal comes; the environment names database and login."""
    import uvicorn
    from prefect.server.api.server import create_app

    app = Door(create_app(final=True), os.environ[AUTH])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", lifespan="on")


if __name__ == "__main__":
    main(int(sys.argv[1]))
