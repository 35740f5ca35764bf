"""The way back: it holds the model, and finds its version whatever was done by hand."""

import pytest

from flows.common.errors import UsageError
from flows.promotion import approval, audit, rollback, rollback_hold
from flows.promotion.gates import people
from flows.promotion.version import stored_version
from flows.promotion.version.canary import canary_columns, sealed_canary
from flows.services.helper import SCORING, helper
from flows.tracking import registry
from tests.flows import promotion_store as made
from tests.flows.conftest import production
from tests.flows.promotion.conftest import flip, gate, model_file

NAME = made.NAME


@pytest.fixture
def back(store):
    """Rolls back by the plain function."""

    def run(to: int | None = None, **options):
        settings, client = store
        return rollback.roll_back(client, settings, NAME, to, **{"by": "ann"} | options)

    return run


def test_a_rollback_is_not_undone_by_the_next_training(store, new, promoted, promote, back, dagmm):
    client = store[1]
    (first, second), third = promoted(2), new()
    assert back(reason="too many alerts").decision == "rolled back"
    nightly = promote(third, automatic=True)
    assert (nightly.decision, production(client)) == ("held", first)
    message = gate(nightly, people.HOLD).message
    assert "ann rolled version 2 back at 20" in message
    assert "too many alerts" in message
    assert "--release" in message
    assert promote(third).decision == "held"  # by a person, too, unless they say so
    shown = dagmm("history", NAME)
    assert "HELD: ann rolled version 2 back" in shown.out
    assert "too many alerts" in client.get_registered_model(NAME).tags[rollback_hold.TAG]
    refused = dagmm("promote", NAME, third)
    assert refused.code == 1
    assert "too many alerts" in refused.out
    assert promote(third, release=True, reason="the rate was agreed").decision == "promoted"
    assert "released: the rate was agreed; held since ann" in dagmm("history", NAME).out
    assert rollback_hold.TAG not in client.get_registered_model(NAME).tags
    assert promote(second, automatic=True).decision == "promoted"


def test_a_rejected_version_does_not_release(store, promoted, promote, back):
    _, second = promoted(2)
    back()
    flip(model_file(store[1], second, "detector.safetensors"))
    assert promote(second, release=True).decision == "rejected"
    assert rollback_hold.current_hold(audit.history(store[1], NAME)) is not None


def test_a_model_is_released_by_a_later_decision_of_a_person(store, new, promoted, promote, back):
    client = store[1]
    (_, second), third = promoted(2), new()
    approval.approve(client, NAME, third, "bob", "looked at it before", approved=True)
    back()
    assert promote(third, automatic=True).decision == "held"
    approval.approve(client, NAME, third, "bob", "knows of the rollback", approved=True)
    assert promote(third, automatic=True).decision == "promoted"
    assert promote(second).decision == "held"  # the approval was of the other version only
    back(second, keep_held=False)
    assert promote(third, automatic=True).decision == "promoted"


def test_what_is_in_production_can_be_released_as_it_is(store, promoted, promote, back):
    first, second = promoted(2)
    back()
    assert promote(first).decision == "unchanged"
    assert promote(second, automatic=True).decision == "held"
    assert promote(first, release=True).decision == "unchanged"
    assert promote(second, automatic=True).decision == "promoted"


@pytest.mark.slow
def test_without_hold_the_next_training_promotes(store, promoted, promote, back, dagmm):
    _, second = promoted(2)
    assert dagmm("rollback", NAME, "--no-hold").code == 0
    assert promote(second, automatic=True).decision == "promoted"


def moved_production(client, versions):
    client.set_registered_model_alias(NAME, "production", str(versions[0]))


def moved_previous(client, versions):
    client.set_registered_model_alias(NAME, "previous", str(versions[3]))


def deleted_previous(client, versions):
    client.delete_model_version(NAME, str(versions[1]))


def deleted_production(client, versions):
    client.delete_model_version(NAME, str(versions[2]))


def dropped_aliases(client, versions):
    client.delete_registered_model_alias(NAME, "production")
    client.delete_registered_model_alias(NAME, "previous")


@pytest.mark.parametrize(
    ("by_hand", "expected"),
    [
        (moved_production, 2),  # the newest promoted one that is not in production
        pytest.param(moved_previous, 1, marks=pytest.mark.slow),
        (deleted_previous, 0),
        pytest.param(deleted_production, 1, marks=pytest.mark.slow),
        pytest.param(dropped_aliases, 2, marks=pytest.mark.slow),
    ],
)
def test_aliases_and_versions_changed_by_hand_do_not_stop_a_rollback(
    store, new, promoted, promote, back, by_hand, expected
):
    client = store[1]
    versions = [*promoted(3), new()]
    by_hand(client, versions)
    record = back()
    assert (record.decision, record.version) == ("rolled back", versions[expected])
    assert production(client) == versions[expected]
    assert promote(versions[3], release=True).decision == "promoted"  # and all goes on


@pytest.mark.slow
def test_a_version_that_fails_its_seal_is_passed_over(store, promoted, back, capsys):
    client = store[1]
    first, second, _ = promoted(3)
    client.delete_registered_model_alias(NAME, "previous")
    flip(model_file(client, second, "detector.safetensors"))
    assert back().version == first
    assert f"version {first} is the newest" in capsys.readouterr().err


def test_nothing_to_return_to_says_why(store, promoted, back):
    client = store[1]
    first, second = promoted(2)
    client.delete_model_version(NAME, str(first))
    with pytest.raises(UsageError, match="version 1: it was deleted"):
        back()
    assert registry.version_behind(client, NAME, "production") == second


def test_a_version_is_scored_beside_the_command_as_in_it(store, promoted):
    client, version = store[1], registry.find_version(store[1], NAME, *promoted(1))
    canary = sealed_canary(client, version)
    rows = canary_columns(canary)
    with helper(SCORING) as process:
        beside = stored_version.score_rows(client, version, rows)
        assert process.wait(60) == 0  # it has done the one work that it was started for
    assert (beside == stored_version.score_rows(client, version, rows)).all()
    assert beside == pytest.approx(canary["energy"])
