"""What a request must have before anybody reads it: a known host, the token, a bearable size."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from flows.api.refusals import BAD_REQUEST, FORBIDDEN, UNAUTHENTICATED, Refused, too_large
from flows.common.errors import UsageError
from flows.services.door import is_own

TOKEN = "DAGMM_API_TOKEN"  # noqa: S105  the name of a variable
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
SHORTEST = 16
BODY_SECONDS = 30.0
"""In which a body has to arrive: who sends none, or a byte now and then, holds a connection."""


@dataclass(frozen=True)
class Guard:
    """Lets a request through, or refuses it.

    Attributes:
        token: That requests carry; none is asked for when empty.
        loopback: Whether only this machine reaches the server. A web page that a browser here
            shows reaches it, too: other names are refused, and requests of other servers' pages.
        max_bytes: Longest body.
    """

    token: str
    loopback: bool
    max_bytes: int

    def check(self, request: Request) -> None:
        """Compare host, origin and token.

        Raises:
            Refused: The host or the page is another one, or the token is not the one.
        """
        if self.loopback and not is_own(request.scope["headers"]):
            sentence = "this server is reached as 127.0.0.1 only, and not by pages of others"
            raise Refused(403, FORBIDDEN, sentence, "host")
        if not self._knows(request):
            sentence = "send the server's token: `Authorization: Bearer TOKEN`"
            raise Refused(401, UNAUTHENTICATED, sentence, "token")

    def admits(self, request: Request) -> bool:
        """Whether host, origin and token are those that `check` wants."""
        try:
            self.check(request)
        except Refused:
            return False
        return True

    def _knows(self, request: Request) -> bool:
        """Whether a request carries the token, where one is asked for."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        same = secrets.compare_digest(given.strip().encode(), self.token.encode())
        return not self.token or (scheme.lower() == "bearer" and same)

    async def body(self, request: Request) -> bytes:
        """The whole body.

        Raises:
            Refused: It is too long, and what lies beyond the limit is not read; it does not
                arrive; or it is compressed.
        """
        if coding := request.headers.get("content-encoding", "").replace("identity", "").strip():
            sentence = f"content encoding {coding!r}: send the body as it is, not compressed"
            raise Refused(415, BAD_REQUEST, sentence, "content type")
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self.max_bytes:
            raise self._too_long(f"the body has {int(declared):,} bytes")
        parts, length = [], 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    length += len(part)
                    if length > self.max_bytes:
                        raise self._too_long("the body is longer")
                    parts.append(part)
        except TimeoutError:
            sentence = f"the body did not arrive in {BODY_SECONDS:g} s"
            raise Refused(408, BAD_REQUEST, sentence, "too slow") from None
        except ClientDisconnect:  # the status, nginx's, is for the metrics alone
            sentence = "the connection was closed before the body was sent"
            raise Refused(499, BAD_REQUEST, sentence, "gone") from None
        return b"".join(parts)

    def _too_long(self, what: str) -> Refused:
        return too_large(what, f"{self.max_bytes:,} bytes", "--max-megabytes")


def guard_for(host: str, max_bytes: int, read: Callable[[str], str | None]) -> Guard:
    """The guard of a server that listens at a host.

    Args:
        host: Name or address.
        max_bytes: Longest body.
        read: Gives variables of the environment.

    Raises:
        UsageError: Others reach the server, and there is no token, or one that is soon guessed.
    """
    token, loopback = (read(TOKEN) or "").strip(), host in LOOPBACK
    if not loopback and not token:
        raise UsageError(
            f"--host {host}: others reach the server there, so it needs a token: set {TOKEN}, or "
            "stay on 127.0.0.1"
        )
    if token and (len(token) < SHORTEST or not token.isascii()):
        raise UsageError(
            f"{TOKEN}: at least {SHORTEST} plain characters, e.g. of `openssl rand -hex 32`"
        )
    return Guard(token, loopback, max_bytes)
