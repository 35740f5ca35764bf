"""What a server makes known: lines for people or JSON, and refused versions in the audit."""

import getpass
import json
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from flows.api.follower import Follower
from flows.api.model import ServedModel
from flows.common.settings import Settings
from flows.notify import tell as notify
from flows.notify.event import Event
from flows.notify.event_texts import version_page
from flows.promotion import audit
from flows.stages.decision import PromoteRecord
from flows.tracking import registry, tracking
from flows.tracking.seal import EVIDENCE_TAG


@dataclass(frozen=True)
class Events:
    """Writes on stdout.

    Attributes:
        as_json: One document a line, in place of words.
    """

    as_json: bool

    def __call__(self, event: str, text: str, **facts: object) -> None:
        """Say what happened.

        Args:
            event: Of few words.
            text: For people.
            facts: For programs.
        """
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        line = f"{event.capitalize():<10} {text}"
        if self.as_json:
            line = json.dumps({"event": event, "time": now, **facts})
        elif event in ("switched", "refused", "shadow", "registry"):
            line = f"{line} ({now})"
        with suppress(OSError):  # whoever read this is gone; the server has others to serve
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def make_candidate(
    client: MlflowClient, settings: Settings, name: str, which: str, tell: Events
) -> Follower:
    """A follower of the version in the shadow; its events are reported, not audited.

    That the registry does not answer is said by the follower of the version that is served.

    Args:
        client: Registry.
        settings: Where it is.
        name: Registered model.
        which: Alias or number of the candidate.
        tell: Says what happened.
    """

    def switched(served: ServedModel, _before: ServedModel | None) -> None:
        tell("shadow", f"{served.uri} scores what is answered", candidate=served.uri)

    def refused(version: ModelVersion, why: str, _current: ServedModel | None) -> None:
        number = int(version.version)
        tell("shadow", f"version {number} is refused: {why}", version=number, why=why)

    def asked(why: str, current: ServedModel) -> None:
        if candidate.standing.wanted is None:  # else the registry is away, and it goes on
            tell("shadow", f"{current.uri} scores no more: {why}", candidate=None, why=why)

    store = partial(tracking.check_store, settings)
    reference = registry.sibling(name, which)
    candidate = Follower(client, reference, switched, refused, asked, store)
    return candidate


def make_follower(
    client: MlflowClient, settings: Settings, reference: str, tell: Events
) -> Follower:
    """A follower whose switches are said, and whose refusals the audit keeps as well.

    Args:
        client: Registry.
        settings: Where the embedded store keeps artifacts.
        reference: `NAME`, `NAME@alias` or `NAME/VERSION`.
        tell: Says what happened.
    """

    def switched(served: ServedModel, before: ServedModel | None) -> None:
        if before is not None:
            text = f"to {served.uri}; before, {before.uri} answered"
            tell("switched", text, model=served.uri, before=before.uri)
        elif follower.waited:
            tell("switched", f"to {served.uri}; before, nothing answered", model=served.uri)

    def refused(version: ModelVersion, why: str, current: ServedModel | None) -> None:
        name, number = version.name, int(version.version)
        stays = "nothing is served" if current is None else f"{current.uri} goes on answering"
        tell(
            "refused",
            f"version {number}: {why}; {stays}",
            version=number,
            why=why,
            serving=None if current is None else current.uri,
        )
        reason = f"dagmm api on {socket.gethostname()}: {why}; {stays}"
        subject, page = f"{name} version {number}", version_page(settings, name, number)
        # First: the store, which is to keep it as well, may be what is broken.
        notify.tell(settings, Event("not-served", subject, reason, link=page, same=why))
        _write_down(client, settings, version, reason, current)

    def asked(error: str, current: ServedModel) -> None:
        text = f"{error}; {current.uri} goes on answering" if error else "answers again"
        tell("registry", text, why=error, serving=current.uri)

    store = partial(tracking.check_store, settings)
    follower = Follower(client, reference, switched, refused, asked, store)
    return follower


def _write_down(
    client: MlflowClient,
    settings: Settings,
    version: ModelVersion,
    reason: str,
    current: ServedModel | None,
) -> None:
    """Have the audit say that a version was not taken into service."""
    record = PromoteRecord(
        name=version.name,
        version=int(version.version),
        decision="not served",
        previous=None if current is None else current.number,
        gates=(),
        reasons=(reason,),
        evidence_sha256=version.tags.get(EVIDENCE_TAG, ""),
    )
    run_id = audit.write_decision(client, settings, record, getpass.getuser())
    audit.close(client, run_id, record)
