"""Gates that people decide: approvals of the version, and a hold on its model."""

from mlflow.entities.model_registry import ModelVersion

from flows.common.gate_results import figure
from flows.common.policy import PromotionPolicy
from flows.promotion import approval, audit
from flows.promotion.gates.case import Material
from flows.promotion.gates.gate import GateFinding, unmeasured
from flows.promotion.rollback_hold import current_hold

APPROVAL, HOLD = "approval", "no hold"


def enough_approvals(version: ModelVersion, policy: PromotionPolicy, requester: str) -> GateFinding:
    """As many people as `promotion.approvals` asks for approved this evidence; nobody rejected it.

    The requester does not count.
    """
    given = dict(approval.verdicts_on(version))
    evidence = approval.evidence_of(version)
    void = [who for who, v in given.items() if v["evidence_sha256"] != evidence]
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


def nobody_holds(material: Material) -> GateFinding:
    """Nobody holds the model since a rollback, or `--release` or a later approval frees it."""
    version = material.stored.version
    hold = current_hold(audit.history(material.client, version.name))
    if hold is None:
        return unmeasured("the model is not held")
    if material.release is not None:
        return GateFinding(True, f"released: {material.release}; held since {hold.text()}")
    for who, when in approval.approvals(version):
        if when > hold.time:
            return GateFinding(True, f"approved by {who} after {hold.text()}")
    return GateFinding(
        False,
        f"the model is held: {hold.text()}; release it with "
        f"`dagmm promote {version.name} {version.version} --release`",
        waits=True,
    )
