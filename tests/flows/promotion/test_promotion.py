"""Promotion: evidence that matches its bytes, overrides, approvals, a switch that comes late."""

import errno
import json
import time
from pathlib import Path

import numpy as np
import pytest

from flows.common.errors import ServiceUnreachable, UsageError
from flows.promotion import approval, audit, lease, rollback, switch
from flows.promotion import promote as stage
from flows.promotion.gates import production_policy
from flows.promotion.gates.table import GATES
from flows.promotion.version import canary, evidence
from flows.tracking import registry, seal
from tests.flows import promotion_store as made
from tests.flows.conftest import production
from tests.flows.promotion.conftest import flip, gate, model_file, run_file

NAME = made.NAME


def test_two_versions_then_back_is_what_the_history_says(store, new, promote):
    settings, client = store
    first, second = new(), new()
    assert promote(first).decision == "promoted"
    record = promote(second)
    assert (record.decision, record.previous) == ("promoted", first)
    assert registry.version_behind(client, NAME, "previous") == first
    back = rollback.roll_back(client, settings, NAME, None, by="tester", reason="alerts")
    assert back.decision == "rolled back"
    assert production(client) == first
    decisions = audit.history(client, NAME)
    assert [(d.version, d.decision) for d in decisions] == [
        (first, "promoted"),
        (second, "promoted"),
        (first, "rolled back"),
    ]
    assert all(d.complete for d in decisions)
    assert audit.moved_outside(client, NAME, decisions) == ""


def edit(path: Path, change) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document, indent=2))


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (
            lambda client, v: flip(model_file(client, v, "detector.safetensors")),
            "the model's files are not those that were evaluated",
        ),
        (
            lambda client, v: flip(model_file(client, v, "dagmm.py")),
            "the model's files are not those that were evaluated",
        ),
        (
            lambda client, v: flip(run_file(client, v, "evaluation/test_rows.parquet")),
            "the evaluation rows (test_rows.parquet): changed",
        ),
        (
            lambda client, v: flip(run_file(client, v, "evaluation/test_energies.parquet")),
            "the recorded energies (test_energies.parquet): changed",
        ),
        (
            lambda client, v: run_file(client, v, "evaluation/contract.json").unlink(),
            "the contract (contract.json): gone",
        ),
        (
            lambda client, v: edit(
                run_file(client, v, "evidence.json"),
                lambda e: e["config"]["promotion"].update(margin=1.0, min_roc_auc=0.0),
            ),
            "the configuration was changed after the training",
        ),
        (
            lambda client, v: edit(
                run_file(client, v, "evidence.json"),
                lambda e: e["validation"].update(passed=False),
            ),
            "evidence.json was changed after the registration",
        ),
        (
            lambda client, v: run_file(client, v, "evidence.json").write_text(
                run_file(client, v - 1, "evidence.json").read_text()
            ),
            "the evidence is of an older evaluation",
        ),
    ],
)
def test_what_differs_from_the_evidence_is_refused_in_its_own_words(
    store, new, promote, tamper, message
):
    new()
    version = new()
    tamper(store[1], version)
    record = promote(version)
    assert record.decision == "rejected"
    assert message in gate(record, "evidence").message
    assert production(store[1]) is None
    assert audit.history(store[1], NAME)[-1].decision == "rejected"


@pytest.mark.parametrize(
    ("sealed", "message"), [(True, "is not complete any more"), (False, "carries no evidence")]
)
def test_files_that_are_gone_are_another_thing_than_files_that_never_were(
    store, new, promote, sealed, message
):
    version = new()
    run_file(store[1], version, "evidence.json").unlink()
    if not sealed:
        store[1].delete_model_version_tag(NAME, str(version), seal.EVIDENCE_TAG)
    with pytest.raises(UsageError, match=f"version {version} of '{NAME}' {message}"):
        promote(version)


def test_a_full_disk_says_nothing_of_the_version(store, new, promote, monkeypatch):
    version = new()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(seal, "fetch", full)
    with pytest.raises(OSError, match="No space left"):
        promote(version)


def test_a_figure_that_is_not_a_number_is_refused(new, promote, parts):
    evaluated = json.loads(json.dumps(parts.document["evaluate"]))
    evaluated["deployment"]["roc_auc"]["value"] = float("nan")
    record = promote(new(evaluate=evaluated))
    assert record.decision == "rejected"
    assert gate(record, "evidence").passed
    assert "deployment.roc_auc.value" in gate(record, "recorded figures").message


def test_an_evaluation_past_its_age_is_refused(store, new, promote):
    version = new()
    path = run_file(store[1], version, "evidence.json")
    edit(path, lambda e: e.update(created=time.time() - 200 * 86_400))
    assert "older than 90 days" in gate(promote(version), "evidence").message


def test_a_rehearsal_says_everything_and_changes_nothing(store, new, promote):
    version = new()
    before = store[1].get_model_version(NAME, str(version))
    record = promote(version, rehearse=True)
    assert record.summary() == "would be promoted"
    assert [gate.gate for gate in record.gates] == [gate.name for gate in GATES]
    after = store[1].get_model_version(NAME, str(version))
    assert (after.tags, after.aliases) == (before.tags, before.aliases)
    assert audit.history(store[1], NAME) == ()


def test_an_override_is_recorded_and_never_hides_the_failure(store, new, promote, parts):
    version = new(validation={**parts.document["validation"], "passed": False})
    rejected = promote(version)
    assert rejected.decision == "rejected"
    assert rejected.reasons[0].startswith("data verdict: FAILED"), "what it failed by comes first"
    record = promote(version, overrides={"data verdict": "checked by hand"})
    assert record.decision == "promoted"
    assert not gate(record, "data verdict").passed
    tags = store[1].get_model_version(NAME, str(version)).tags
    assert tags["dagmm.overridden"] == "data verdict: tester: checked by hand"


def test_a_version_may_not_bring_a_weaker_policy_than_productions(
    store, new, promoted, promote, parts
):
    (first,) = promoted(1)
    config = parts.document["config"]
    weaker = {**config, "promotion": {**config["promotion"], "min_roc_auc": 0.0}}
    second = new(config=weaker)
    record = promote(second)
    assert record.decision == "rejected"
    assert "min_roc_auc 0.6 -> 0" in gate(record, production_policy.GATE).message
    assert production(store[1]) == first
    allowed = promote(second, overrides={production_policy.GATE: "agreed with the owner"})
    assert allowed.decision == "promoted"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"evidence": "trust me"}, "cannot be overridden"),
        ({"data verdct": "typo"}, "no gate 'data verdct'; gates: evidence"),
        ({"data verdict": ""}, "needs --reason"),
    ],
)
def test_overrides_that_make_no_sense_are_refused(new, promote, overrides, message):
    with pytest.raises(ValueError, match=message):
        promote(new(), overrides=overrides)


def test_approval_is_by_others_and_for_this_evidence_only(store, new, promote, parts):
    client = store[1]
    policy = made.QUICK.model_copy(update={"approvals": 2})
    version = new(requested_by="trainer")
    assert promote(version, policy=policy).decision == "pending approval"
    for who in ("trainer", "ann"):
        approval.approve(client, NAME, version, who, "looks right", approved=True)
    record = promote(version, policy=policy)
    assert record.decision == "pending approval"
    assert "trainer asked for the version" in gate(record, "approval").message
    approval.approve(client, NAME, version, "bob", "agreed", approved=True)
    client.set_model_version_tag(NAME, str(version), "dagmm.note", "tags may be added")
    assert promote(version, policy=policy).decision == "promoted"
    other = new(requested_by="trainer")
    old = client.get_model_version(NAME, str(version)).tags
    for key in ("dagmm.approval.ann", "dagmm.approval.bob"):  # copied from the other version
        client.set_model_version_tag(NAME, str(other), key, old[key])
    record = promote(other, policy=policy)
    assert record.decision == "pending approval"
    assert "void" in gate(record, "approval").message


def test_a_rejection_is_final(store, new, promote):
    version = new()
    approval.approve(store[1], NAME, version, "ann", "biased sample", approved=False)
    approval.approve(store[1], NAME, version, "bob", "fine", approved=True)
    record = promote(version, policy=made.QUICK.model_copy(update={"approvals": 1}))
    assert record.decision == "rejected"
    assert "biased sample" in gate(record, "approval").message


def test_a_model_that_answers_otherwise_after_the_switch_is_taken_back(
    store, new, promoted, promote, monkeypatch
):
    client = store[1]
    (first,), second = promoted(1), new()
    monkeypatch.setattr(stage, "answer_probe", lambda client, name: lambda version: "it differs")
    record = promote(second)
    assert record.decision == "returned"
    assert production(client) == first
    assert "undone: it differs" in audit.history(client, NAME)[-1].reasons
    assert audit.moved_outside(client, NAME, audit.history(client, NAME)) == ""


def test_a_version_whose_files_changed_is_not_rolled_back_to(store, promoted):
    settings, client = store
    first, second = promoted(2)
    flip(model_file(client, first, "detector.safetensors"))
    with pytest.raises(ValueError, match="not as promoted"):
        rollback.roll_back(client, settings, NAME, None, by="tester")
    assert production(client) == second


def test_only_the_last_promoted_versions_are_marked_to_be_kept(store, new, promote):
    policy = made.QUICK.model_copy(update={"keep_promoted": 2})
    versions = [new() for _ in range(3)]
    for version in versions:
        promote(version, policy=policy)
    tags = [store[1].get_model_version(NAME, str(v)).tags["dagmm.retention"] for v in versions]
    assert tags == ["kept for comparison", "kept for rollback", "kept for rollback"]


def test_a_turn_that_does_not_come_may_be_tried_again(store, monkeypatch):
    settings, client = store
    monkeypatch.setattr(lease, "WAIT_SECONDS", 0.5)
    with (
        lease.hold(client, settings, NAME, "promote version 1"),
        pytest.raises(ServiceUnreachable, match="promote version 1"),
        lease.hold(client, settings, NAME, "promote version 2"),
    ):
        pass


def test_a_switch_that_comes_too_late_is_undone(store, new, promoted, promote, monkeypatch):
    """The holder was suspended: its lease is taken, another version promoted, then it goes on."""
    client = store[1]
    (first,), late, other = promoted(1), new(), new()
    monkeypatch.setattr(lease, "STALE_SECONDS", 0.0)

    def overtaken(step: str) -> None:
        if step == "production set":
            monkeypatch.setattr(switch, "reached", lambda step: None)
            assert production(client) == late
            client.set_registered_model_alias(NAME, "production", str(first))
            assert promote(other).decision == "promoted"
            client.set_registered_model_alias(NAME, "production", str(late))

    monkeypatch.setattr(switch, "reached", overtaken)
    with pytest.raises(lease.LostLease):
        promote(late)
    assert production(client) == other
    assert [d.version for d in audit.switches(audit.history(client, NAME))] == [first, other]


def test_a_lease_is_won_once(store, new, promote):
    settings, client = store
    new()
    with lease.hold(client, settings, NAME, "test") as held:
        run = lease.lease_run(client, settings, NAME)
        assert not lease.claim(client, run, held.number, "{}")
        assert lease.claim(client, run, held.number + 1, "{}")
        with pytest.raises(lease.LostLease):
            held.check()


def test_the_canary_covers_the_range_of_energies(parts):
    energies = np.array(json.loads((parts.files / evidence.CANARY).read_text())["energy"])
    assert len(energies) == canary.CANARY_ROWS
    assert (np.diff(energies) >= 0).all()


def test_the_command_rehearses_overrides_and_approves(store, new, dagmm, parts):
    """The public command; the trained version's own policy decides."""
    version = new(validation={**parts.document["validation"], "passed": False})
    rehearsal = dagmm("promote", NAME, version, "--rehearse")
    assert rehearsal.code == 1
    assert "would be rejected" in rehearsal.out
    assert "nothing was changed" in rehearsal.out
    mute = dagmm("promote", NAME, version, "--override", "data verdict")
    assert mute.code == 2
    assert "--reason" in mute.err
    done = dagmm(
        *("promote", NAME, version, "--override", "data verdict"),
        *("--approved-by", "ann", "--reason", "looked at the rows", "--json"),
    )
    assert done.code == 0, done.err
    assert done.json["decision"] == "promoted"
    tags = store[1].get_model_version(NAME, str(version)).tags
    assert json.loads(tags["dagmm.approval.ann"])["reason"] == "looked at the rows"
    shown = dagmm("history", NAME)
    assert "OVERRIDDEN" in shown.out
    assert "recorded figures" not in shown.out  # it passed: counted, not told
    assert "looked at the rows" in shown.out
