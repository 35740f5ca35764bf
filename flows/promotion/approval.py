"""Approvals of a version: tags that name the evidence they are for.

MLflow records nobody's name with a tag, and Prefect without its cloud has no users: an approver is
who the front door says, see docs/decisions.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flows.common.errors import UsageError
from flows.common.policy import PromotionPolicy
from flows.common.verdicts import figure
from flows.promotion.gates.gate import GateFinding, unmeasured
from flows.tracking import registry
from flows.tracking.names import tracking_name
from flows.tracking.seal import EVIDENCE_TAG

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

GATE = "approval"
STATE_TAG, PREFIX = "dagmm.approval", "dagmm.approval."


def approve(
    client: MlflowClient, name: str, version: int, by: str, reason: str, *, approved: bool
) -> None:
    """Write down who approved or rejected a version, why, and on what evidence.

    Raises:
        UsageError: There is no such version, nobody decided, or for no reason.
    """
    candidate = registry.find_version(client, name, version)
    if not by.strip() or not reason.strip():
        raise UsageError("an approval or a rejection needs the name of who decides, and a reason")
    verdict = {
        "verdict": "approved" if approved else "rejected",
        "reason": reason,
        "time": time.time(),
        "evidence_sha256": _evidence(candidate),
        "by": by,
    }
    key = tracking_name(PREFIX + by)
    client.set_model_version_tag(name, str(version), key, json.dumps(verdict))


def enough_approvals(version: ModelVersion, policy: PromotionPolicy, requester: str) -> GateFinding:
    """As many people as `promotion.approvals` asks for approved this evidence; nobody rejected it.

    The requester does not count.
    """
    given = dict(_verdicts(version))
    void = [who for who, v in given.items() if v["evidence_sha256"] != _evidence(version)]
    valid = {who: v for who, v in given.items() if who not in void}
    against = [who for who, v in valid.items() if v["verdict"] == "rejected"]
    if against:
        reasons = "; ".join(f"{who}: {valid[who]['reason']}" for who in against)
        return GateFinding(False, f"rejected, which is final for this version ({reasons})")
    if not given and not policy.approvals:
        return unmeasured("none asked for")
    names = [who for who in valid if who != requester]
    approvals = "; ".join(f"{who}: {valid[who]['reason']}" for who in names) or "nobody yet"
    notes = [f"approved by {approvals}"]
    if requester in valid:
        notes.append(f"{requester} asked for the version and cannot approve it")
    if void:
        notes.append(f"void, because the evidence changed: {', '.join(void)}")
    enough = len(names) >= policy.approvals
    return GateFinding(
        enough,
        "; ".join(notes),
        (figure("approvals", len(names), at_least=policy.approvals),),
        measured=policy.approvals > 0,
        waits=not enough,
    )


def approvals(version: ModelVersion) -> list[tuple[str, float]]:
    """Who approved the evidence as it is now, and when (seconds since 1970, UTC)."""
    return [
        (who, float(given["time"]))
        for who, given in _verdicts(version)
        if given["verdict"] == "approved" and given["evidence_sha256"] == _evidence(version)
    ]


def _verdicts(version: ModelVersion) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in version.tags.items():
        if key.startswith(PREFIX):
            given = json.loads(value)
            yield given.get("by", key.removeprefix(PREFIX)), given


def _evidence(version: ModelVersion) -> str:
    return version.tags.get(EVIDENCE_TAG, "")
