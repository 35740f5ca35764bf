"""Approvals of a version: tags that name the evidence they are for.

MLflow records nobody's name with a tag, and Prefect without its cloud has no users: an approver is
who the front door says, see docs/decisions.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from flows.common.errors import UsageError
from flows.tracking import registry
from flows.tracking.names import tracking_name
from flows.tracking.seal import EVIDENCE_TAG

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
        "evidence_sha256": evidence_of(candidate),
        "by": by,
    }
    key = tracking_name(PREFIX + by)
    client.set_model_version_tag(name, str(version), key, json.dumps(verdict))


def approvals(version: ModelVersion) -> list[tuple[str, float]]:
    """Who approved the evidence as it is now, and when (seconds since 1970, UTC)."""
    return [
        (who, float(given["time"]))
        for who, given in verdicts_on(version)
        if given["verdict"] == "approved" and given["evidence_sha256"] == evidence_of(version)
    ]


def verdicts_on(version: ModelVersion) -> Iterator[tuple[str, dict[str, Any]]]:
    """Who decided on a version, and what they said."""
    for key, value in version.tags.items():
        if key.startswith(PREFIX):
            given = json.loads(value)
            yield given.get("by", key.removeprefix(PREFIX)), given


def evidence_of(version: ModelVersion) -> str:
    """Digest of the evidence as it is now."""
    return version.tags.get(EVIDENCE_TAG, "")
