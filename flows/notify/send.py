"""One message to one target, by Apprise, which Prefect's notification blocks use as well."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from flows.notify.config import Target
from flows.notify.event import GOOD, Event


class NotDelivered(Exception):
    """A message did not arrive; the text says why, without the address."""


def send(target: Target, event: Event, timeout: float, before: int = 0) -> None:
    """Deliver a message.

    Raises:
        NotDelivered: The address is missing or malformed, or the other side does not take it.
    """
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

    if not target.address:
        raise NotDelivered(f"the environment variable {target.url} is not set")
    asset = AppriseAsset(app_id="dagmm", app_desc="dagmm-pipeline", app_url="", secure_logging=True)
    client = Apprise(asset=asset)
    title, body = event.title, event.text(before)
    if target.kind == "slack":
        title, body = "", _for_slack(f"*{title}*\n{body}")
    with _overheard() as said:
        if not client.add(_server(target, event, timeout)):
            raise NotDelivered(f"{target.url} does not hold an address of kind {target.kind}")
        kind = NotifyType.SUCCESS if event.kind in GOOD else NotifyType.WARNING
        arrived = client.notify(
            body=body, title=title, notify_type=kind, body_format=NotifyFormat.TEXT
        )
    if not arrived:
        why = "; ".join(said.getvalue().splitlines()) or "not delivered"
        raise NotDelivered(_without_secrets(why, target.address))


def _server(target: Target, event: Event, timeout: float) -> Any:
    """The target as Apprise takes it."""
    if target.kind in ("email", "apprise"):
        mark = "&" if "?" in target.address else "?"
        return f"{target.address}{mark}cto={timeout:g}&rto={timeout:g}"
    parts = urlsplit(target.address)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotDelivered(f"{target.url} holds no http:// or https:// address")
    return {
        "schema": "jsons" if parts.scheme == "https" else "json",
        "secure": parts.scheme == "https",
        "host": f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname,
        "port": port,
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "fullpath": parts.path,
        "params": dict(parse_qsl(parts.query, keep_blank_values=True)),
        "payload": _payload(target, event),
        "cto": timeout,
        "rto": timeout,
    }


def _payload(target: Target, event: Event) -> dict[str, str]:
    """Changes to the JSON that Apprise sends: an empty value removes a key, a name renames it."""
    nothing = {"version": "", "attachments": ""}
    if target.kind == "slack":
        return {**nothing, "type": "", "title": "", "message": "text"}
    return {
        **nothing,
        "event": event.kind,
        "subject": event.subject,
        "figure": event.figure,
        "reason": event.reason,
        "link": event.link,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _for_slack(text: str) -> str:
    """Text in which nothing calls anybody or hides a link: names of columns come from tables."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _without_secrets(text: str, address: str) -> str:
    """What Apprise said, unless a part of the address that is not the host is in it."""
    parts = urlsplit(address)
    secret = {parts.username, parts.password, *parts.path.split("/"), parts.query, address}
    if any(part and len(part) > 3 and part in text for part in secret):
        return "not delivered"
    return text


@contextmanager
def _overheard() -> Iterator[StringIO]:
    """What Apprise says, kept from every log: it is ours to say, without the address."""
    from apprise import LogCapture

    logger = logging.getLogger("apprise")
    before, logger.propagate = logger.propagate, False
    try:
        with LogCapture(level=logging.WARNING, fmt="%(message)s") as said:
            yield said
    finally:
        logger.propagate = before
