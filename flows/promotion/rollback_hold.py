"""A hold on a model: after a rollback nothing is promoted until a person says so.

Else a scheduled training would undo the rollback in the next night. The hold is part of the audit,
so whatever survives of a rollback survives with its hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.common.readable import minute
from flows.promotion import audit

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

TAG = "dagmm.hold"


@dataclass(frozen=True)
class Hold:
    """Who holds a model, since when, and why.

    Attributes:
        by: Who rolled back.
        time: Seconds since 1970, UTC.
        version: Version that was taken out of production, if there was one.
    """

    by: str
    time: float
    reason: str
    version: int | None

    def text(self) -> str:
        """`ann rolled version 3 back at 2026-01-02 03:04 UTC: too many alerts`."""
        when = minute(self.time)
        what = f"version {self.version}" if self.version else "the model"
        return f"{self.by} rolled {what} back at {when}: {self.reason}"


def current_hold(decisions: Sequence[audit.Decision]) -> Hold | None:
    """The hold that the decisions on a model leave, if any; the newest one counts."""
    hold = None
    for decision in decisions:
        if not decision.complete:
            continue
        if decision.decision == "rolled back":
            held = Hold(decision.by, decision.time, decision.reasons, decision.previous)
            hold = held if decision.hold == "holds" else None
        elif decision.hold == "releases" and decision.decision in {"promoted", "unchanged"}:
            hold = None
    return hold


def show_hold(client: MlflowClient, name: str) -> None:
    """Say on the registered model's page whether it is held."""
    hold = current_hold(audit.history(client, name))
    shown = client.get_registered_model(name).tags.get(TAG)
    if hold is not None and shown != hold.text()[:5000]:
        client.set_registered_model_tag(name, TAG, hold.text()[:5000])
    elif hold is None and shown is not None:
        client.delete_registered_model_tag(name, TAG)
