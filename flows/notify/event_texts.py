"""What happened, as somebody who was not there wants to hear it."""

from urllib.parse import quote
from uuid import uuid4

from flows.common.settings import Settings
from flows.notify.config import Kind
from flows.notify.event import Event
from flows.notify.tell import tell
from flows.stages.decision import PromoteRecord

QUALITY = "ROC AUC floor"
"""The gate whose figure is told of a version that was promoted."""
DECISIONS: dict[str, Kind] = {
    "promoted": "promoted",
    "rejected": "rejected",
    "pending approval": "pending",
    "pending shadow": "pending",
    "held": "held",
    "returned": "returned",
    "rolled back": "rolled-back",
}
"""Decisions that are told; `unchanged` and `registered only` are no news."""


def version_page(settings: Settings, name: str, version: int) -> str:
    """Page of a version in MLflow."""
    page = f"/#/models/{quote(name, safe='')}/versions/{version}?workflowType=machine_learning"
    return settings.mlflow_url + page


def tell_decision(settings: Settings, record: PromoteRecord) -> None:
    """Tell a decision to whoever wants to know; never fails."""
    if (event := decided(settings, record)) is not None:
        tell(settings, event)


def decided(settings: Settings, record: PromoteRecord) -> Event | None:
    """A decision on a version; None where it is no news."""
    kind = DECISIONS.get(record.decision)
    if kind is None or record.rehearsal:
        return None
    telling = [gate for gate in record.gates if gate.holds_back]
    reasons = [gate.sentence() for gate in telling]
    shown = telling or [gate for gate in record.gates if gate.gate == QUALITY]
    figures = [gate.deciding[0].text() for gate in shown if gate.figures]
    if not reasons and record.gates:
        passed = sum(gate.verdict == "passed" for gate in record.gates)
        overridden = sum(bool(gate.overridden) for gate in record.gates)
        counted = f"{passed} gates passed" + (f", {overridden} overridden" if overridden else "")
        reasons = ["; ".join([counted, *figures[:1]])]
    if not reasons:
        reasons = list(record.reasons[:2])
    return Event(
        kind=kind,
        subject=f"{record.name} version {record.version}",
        reason="\n".join(filter(None, [record.remark, *reasons[:4], record.beside])),
        figure=figures[0] if figures else "",
        link=version_page(settings, record.name, record.version),
        # A switch is news each time, also where `production` goes to and fro.
        same=uuid4().hex if record.replaced else "",
    )
