"""A door before a server on loopback: it lets nothing in from foreign pages or under foreign names.

A server that listens on loopback is reached by every user of the machine, and by every page that a
browser on it shows. The door stands before Prefect's application and MLflow's, and refuses before
they see a request.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

WHO = "/dagmm-who"
LOGIN = "/dagmm-login"
LOOPBACK = re.compile(rb"(?:127\.0\.0\.1|localhost|\[::1\])(?::(\d{1,5}))?", re.IGNORECASE)
"""Names of this machine, with a port or without, and nothing before, between or behind."""
COOKIE = "dagmm-{}"
COOKIE_SECONDS = 30 * 86_400
LONGEST_LOGIN = 1000
CLOSED = (
    "This server wants the login of its home. Open the address that `dagmm ui` prints: it logs "
    "this browser in, for a month. A client needs MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD.\n"
)


def origins(port: int) -> str:
    """The pages that may talk to a server on loopback: its own."""
    return ",".join(f"http://{host}:{port}" for host in ("127.0.0.1", "localhost"))


def login_page(url: str, auth: str) -> str:
    """Address that logs a browser in; what stands behind its # is not sent to any server."""
    return f"{url}{LOGIN}#{quote(auth, safe=':')}"


def logging_in(then: str) -> str:
    """What the page that logs a browser in runs: it sends what stands behind its #, and goes on.

    What stands there is in no log, and in no history of a proxy.

    Args:
        then: What is run once the login was taken.
    """
    return (
        "fetch(location.pathname, {method: 'POST',"
        " body: decodeURIComponent(location.hash.slice(1))})"
        f".then(answer => {{ if (answer.ok) {then}"
        " else document.body.textContent = 'This is not the login of this home.'; });"
    )


def proof(auth: str, port: int, challenge: str) -> str:
    """What only a server that knows the login can answer; it does not tell the login.

    Anybody may ask for it, so it must open nothing: it is of its own purpose, and of one port, so
    that a stranger on another cannot pass the question on.
    """
    return _digest(auth, f"who:{port}:{challenge}")


def _digest(auth: str, text: str) -> str:
    return hmac.new(auth.encode(), text.encode(), hashlib.sha256).hexdigest()


def is_own(headers: Headers) -> bool:
    """Whether a request came under a name of this machine, and from no page of another server."""
    hosts = [value for name, value in headers if name == b"host"]
    came_from = [value for name, value in headers if name == b"origin"]
    if len(hosts) != 1 or len(came_from) > 1 or not (asked := LOOPBACK.fullmatch(hosts[0])):
        return False
    if not came_from:
        return True
    page = LOOPBACK.fullmatch(came_from[0].removeprefix(b"http://"))
    same_port = page is not None and int(page[1] or 80) == int(asked[1] or 80)
    return same_port and came_from[0].startswith(b"http://")


@dataclass(frozen=True)
class Lock:
    """The login of an application that asks for none itself: a cookie, or HTTP's basic login.

    Attributes:
        auth: The login, USER:PASSWORD.
        port: Browsers give a cookie to all ports of a machine, so its name tells them apart.
        free: Paths that anybody may ask.
    """

    auth: str
    port: int
    free: tuple[str, ...] = ()

    def admits(self, headers: Headers) -> bool:
        """Whether a request carries the login."""
        basic = b"Basic " + base64.b64encode(self.auth.encode())
        for name, value in headers:
            if name == b"authorization" and hmac.compare_digest(value, basic):
                return True
            if name == b"cookie" and self._knows(value.decode("latin-1")):
                return True
        return False

    def cookie(self) -> str:
        """What the browser of somebody who gave the login is told to keep."""
        value = f"{COOKIE.format(self.port)}={self._kept()}"
        return f"{value}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Strict"

    def _knows(self, text: str) -> bool:
        try:
            kept = SimpleCookie(text).get(COOKIE.format(self.port))
        except CookieError:
            return False
        shown = kept.value.encode("utf-8", "replace") if kept is not None else b""
        return hmac.compare_digest(shown, self._kept().encode())

    def _kept(self) -> str:
        return _digest(self.auth, f"cookie:{self.port}")


@dataclass(frozen=True)
class Door:
    """An application that only lets own requests in, and can prove whose it is.

    Attributes:
        app: Behind the door.
        auth: The login of the home.
        script: What the page that logs a browser in runs.
        lock: Asks for the login; None where the application does so itself.
    """

    app: App
    auth: str
    script: str
    lock: Lock | None = None
    page: bytes = field(init=False)

    def __post_init__(self) -> None:
        text = f"<!doctype html><title>dagmm</title><body><script>{self.script}</script>"
        object.__setattr__(self, "page", text.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse or pass on one request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif not is_own(scope["headers"]):
            await self._refuse(scope, send, 403, "refused: not a page or a name of this server\n")
        elif scope["type"] == "http" and scope["path"] == WHO:
            challenge = parse_qs(scope["query_string"].decode("latin-1")).get("challenge", [""])[0]
            port = scope["server"][1]
            await self._answer(send, 200, proof(self.auth, port, challenge).encode())
        elif scope["type"] == "http" and scope["path"] == LOGIN:
            await self._log_in(scope, receive, send)
        elif (
            self.lock
            and scope["path"] not in self.lock.free
            and not self.lock.admits(scope["headers"])
        ):
            await self._refuse(scope, send, 401, CLOSED)
        else:
            await self.app(scope, receive, send)

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The page that gives the login, and where it gives it."""
        if self.lock is None or scope["method"] != "POST":
            await self._answer(send, 200, self.page, ("content-type", "text/html; charset=utf-8"))
            return
        given, more = b"", True
        while more and len(given) <= LONGEST_LOGIN:
            message = await receive()
            given += message.get("body", b"")
            more = message.get("more_body", False)
        if hmac.compare_digest(given, self.auth.encode()):
            await self._answer(send, 204, b"", ("set-cookie", self.lock.cookie()))
        else:
            await self._answer(send, 401, b"not the login of this home\n")

    async def _refuse(self, scope: Scope, send: Send, status: int, why: str) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer(send, status, why.encode())

    async def _answer(self, send: Send, status: int, body: bytes, *more: tuple[str, str]) -> None:
        digest = base64.b64encode(hashlib.sha256(self.script.encode()).digest()).decode()
        headers = {
            "content-type": "text/plain; charset=utf-8",
            "content-security-policy": f"default-src 'none'; script-src 'sha256-{digest}'; "
            "connect-src 'self'",
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            **dict(more),
        }
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})
