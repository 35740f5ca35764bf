"""What the pages of a registered model say of its versions; rewritten after each decision.

A version's page keeps the gates that it was judged by. Its standing (in production, replaced,
withdrawn) stands above them, and on top of the model's own page.
"""

from contextlib import suppress

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from flows.common.markdown import cell, inert, items
from flows.common.readable import minute
from flows.promotion import audit, rollback_hold
from flows.promotion.audit import DECISION_TAG
from flows.stages.decision import PromoteRecord
from flows.tracking import registry

GATES = "## Last decision"
STANDING = "> **"
MODEL = "**Production: "
OVERRIDDEN_TAG = "dagmm.overridden"
MODEL_TAG = "dagmm.model_version"
"""Of a run: the version that it made."""


def tag_decision(client: MlflowClient, record: PromoteRecord) -> None:
    """Show a decision on the version's own page; a rollback judges no gates, so its gates stay."""
    restored = record.decision == "rolled back"
    tag(client, record.name, record.version, "restored" if restored else record.decision)
    overridden = "; ".join(f"{g.title}: {g.overridden}" for g in record.gates if g.overridden)
    if overridden:
        key, number = OVERRIDDEN_TAG, str(record.version)
        client.set_model_version_tag(record.name, number, key, overridden[:5000])
    if not restored:
        version = registry.find_version(client, record.name, record.version)
        card = (version.description or "").partition(GATES)[0].rstrip()
        text = f"{card}\n\n{GATES}{decision_markdown(record)}"
        client.update_model_version(record.name, str(record.version), text)


def show_switch(client: MlflowClient, name: str) -> None:
    """Say on the pages of a model and its versions what the last switch made of them."""
    rollback_hold.show_hold(client, name)
    made = audit.switches(audit.history(client, name))
    if not made:
        return
    last = made[-1]
    when = minute(last.time)
    back = last.decision == "rolled back"
    came = inert(f"promoted by {last.by}, {_passed(last)}")
    if back:
        came = inert(f"restored from v{last.previous} by {last.by}: {last.reasons}")
    _stand(client, name, last.version, f"In production** since {when}; {came}")
    if last.previous is not None:
        gone = f"Replaced** by v{last.version} on {when}"
        if back:
            why = inert(f"{last.by}: {last.reasons}")
            gone = f"Withdrawn** on {when} by {why} (v{last.version} restored)"
            tag(client, name, last.previous, "withdrawn")
        _stand(client, name, last.previous, gone)
    version = registry.version_or_none(client, name, last.version)
    figures = ((version and version.description) or "").partition("\n")[0]
    about = client.get_registered_model(name).description or ""
    if about.startswith(MODEL):
        about = about.partition("\n\n")[2]
    head = f"{MODEL}v{last.version}** since {when}; {came}.  \n{figures}"
    client.update_registered_model(name, f"{head}\n\n{about}")


def _passed(decision: audit.Decision) -> str:
    passed = sum(gate.verdict == "passed" for gate in decision.gates)
    over = [gate.title for gate in decision.gates if gate.overridden]
    return f"{passed} gates passed" + (f", overridden: {', '.join(over)}" if over else "")


def _stand(client: MlflowClient, name: str, number: int, standing: str) -> None:
    """Put a version's standing under the first line of its page, unless it was deleted."""
    version = registry.version_or_none(client, name, number)
    if version is None:
        return
    title, _, card = (version.description or "").partition("\n")
    card = card.lstrip("\n")
    if card.startswith(STANDING):
        card = card.partition("\n")[2].lstrip("\n")
    line = " ".join(f"{STANDING}{standing}".split())
    client.update_model_version(name, str(number), f"{title}\n\n{line}\n\n{card}")


def tag(client: MlflowClient, name: str, number: int, decision: str) -> None:
    """Show what has become of a version on it, unless it was deleted, and in the table of runs."""
    version = registry.version_or_none(client, name, number)
    if version is None:
        return
    client.set_model_version_tag(name, str(number), DECISION_TAG, decision)
    if version.run_id:
        with suppress(MlflowException):  # its run may have been deleted
            client.set_tag(version.run_id, MODEL_TAG, f"{name}/{number}")
            client.set_tag(version.run_id, DECISION_TAG, decision)


def decision_markdown(record: PromoteRecord) -> str:
    """Markdown of a decision for the model card."""
    lines = [f": {record.decision}", ""]
    if not record.gates:
        return "\n".join([*lines, *items(record.reasons)])
    lines += ["| gate | verdict | why |", "|---|---|---|"]
    # What holds the version back stands where a window ends before the table does.
    for gate in sorted(record.gates, key=lambda gate: not (gate.holds_back or gate.overridden)):
        verdict = {"failed": "**FAILED**", "overridden": f"**overridden** by {gate.overridden}"}
        lines.append(
            f"| {cell(gate.title)} | {cell(verdict.get(gate.word, gate.word))} "
            f"| {cell(gate.message[:400])} |"
        )
    return "\n".join(lines)
