"""A promotion or a rollback that was killed at any step is completed by the same command."""

import signal

import pytest

from flows.promotion import audit, rollback, switch
from flows.tracking import registry
from tests.flows import promotion_store as made
from tests.flows.conftest import production
from tests.flows.forked import processes
from tests.flows.promotion.conftest import flip, model_file

NAME = made.NAME
QUICK_STEPS = ("lease taken", "previous set", "production set")


def die_at(store, version: int, step: str, command: str = "promote") -> None:
    settings, _ = store
    child = processes.Process(
        target=made.promote_until,
        args=(settings.tracking_uri, str(settings.home.resolve()), version, step, command),
    )
    child.start()
    child.join(600)
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(step, marks=() if step in QUICK_STEPS else pytest.mark.slow)
        for step in switch.STEPS
    ],
)
def test_killed_at_any_step_the_same_command_completes_it(
    store, new, promoted, promote, dagmm, step
):
    client = store[1]
    (first,), bad, second = promoted(1), new(), new()
    flip(model_file(client, bad, "detector.safetensors"))
    assert promote(bad).decision == "rejected"
    die_at(store, second, step)
    moved = switch.STEPS.index(step) >= switch.STEPS.index("production set")
    assert production(client) == (second if moved else first)
    assert f"production now: v{production(client)} since" in dagmm("history", NAME).out
    again = promote(second)
    assert again.decision == ("unchanged" if moved else "promoted")
    assert production(client) == second
    assert registry.version_behind(client, NAME, "previous") == first
    decisions = audit.history(client, NAME)
    assert all(d.complete for d in decisions)
    assert [d.version for d in audit.switches(decisions)] == [first, second]
    assert audit.moved_outside(client, NAME, decisions) == ""
    tags = client.get_model_version(NAME, str(second)).tags
    assert tags["dagmm.decision"] == "promoted"


def test_a_killed_switch_to_a_version_that_does_not_answer_is_undone_as_a_whole(
    store, new, promoted, promote
):
    client = store[1]
    first, second = promoted(2)
    third = new()
    die_at(store, third, "production set")
    flip(model_file(client, third, "detector.safetensors"))
    assert promote(third).decision == "rejected"
    assert production(client) == second
    assert registry.version_behind(client, NAME, "previous") == first
    assert audit.moved_outside(client, NAME, audit.history(client, NAME)) == ""


@pytest.mark.parametrize(
    "step",
    [
        *(
            pytest.param(step, marks=pytest.mark.slow)
            for step in ("decision written", "previous set")
        ),
        "production set",
    ],
)
@pytest.mark.parametrize("named", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_killed_rollback_completes_as_well(store, promoted, step, named):
    settings, client = store
    first, second = promoted(2)
    die_at(store, first, step, "rollback")
    again = rollback.roll_back(client, settings, NAME, first if named else None, by="tester")
    assert (again.decision, again.version, again.previous) == ("rolled back", first, second)
    assert again.hold == "holds"
    assert production(client) == first
    made_moves = audit.switches(audit.history(client, NAME))
    assert [d.version for d in made_moves] == [first, second, first]
    assert registry.version_behind(client, NAME, "previous") == second
