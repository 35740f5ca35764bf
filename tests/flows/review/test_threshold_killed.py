"""A change of the threshold that is killed, or made twice at once, ends in one version."""

import os
import signal

import pytest

from flows.promotion import audit, switch
from flows.review.threshold import change as review
from flows.review.threshold import register
from flows.tracking import registry
from tests.flows import promotion_store as made
from tests.flows.conftest import production
from tests.flows.forked import processes
from tests.flows.review.test_threshold import NAME, RATE, change, client_runs, stored, versions

QUICK_STEPS = ("model logged", "version registered")


def die_at(uri: str, home: str, step: str) -> None:
    """In a process of its own: change the threshold, and be killed on reaching a step."""
    settings = made.settings_of(uri, home)

    def reached(now: str) -> None:
        if now == step:
            os.kill(os.getpid(), signal.SIGKILL)

    register.reached = switch.reached = reached
    from flows.tracking import tracking

    review.change_threshold(tracking.connect(settings), settings, NAME, RATE, by="killed")


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(step, marks=() if step in QUICK_STEPS else pytest.mark.slow)
        for step in register.STEPS
    ],
)
def test_killed_at_any_step_the_same_command_completes_it(store, served, home, step, tmp_path):
    settings, client = store
    dying = processes.Process(target=die_at, args=(settings.tracking_uri, str(home), step))
    dying.start()
    dying.join(120)
    assert dying.exitcode == -signal.SIGKILL
    assert production(client) == served
    completed = change(store)
    assert completed.promotion.decision == "promoted"
    assert versions(client) == [served, completed.version]
    assert [run.info.status for run in client_runs(client)] == ["FINISHED"]
    new = stored(client, completed.version, tmp_path)
    assert new.problems() == ()


@pytest.mark.parametrize(
    "step", ["previous set", pytest.param("production set", marks=pytest.mark.slow)]
)
def test_killed_while_it_is_put_in_production_the_same_command_completes_that_too(
    store, served, home, step
):
    settings, client = store
    dying = processes.Process(target=die_at, args=(settings.tracking_uri, str(home), step))
    dying.start()
    dying.join(120)
    assert dying.exitcode == -signal.SIGKILL
    completed = change(store)
    assert versions(client) == [served, completed.version]
    assert production(client) == completed.version
    assert registry.version_behind(client, NAME, registry.CHALLENGER) is None
    assert registry.version_behind(client, NAME, registry.PREVIOUS) == served
    decisions = audit.history(client, NAME)
    assert all(decision.complete for decision in decisions)
    assert [d.version for d in audit.switches(decisions)] == [served, completed.version]


def change_at(uri: str, home: str, barrier, results) -> None:
    settings = made.settings_of(uri, home)
    from flows.tracking import tracking

    client = tracking.connect(settings)
    barrier.wait(120)
    done = review.change_threshold(client, settings, f"{NAME}/1", RATE, by=f"p{os.getpid()}")
    results.put((done.version, done.promotion.decision))


def test_two_at_once_make_one_version(store, served, home):
    settings, client = store
    barrier, results = processes.Barrier(2), processes.Queue()
    workers = [
        processes.Process(
            target=change_at, args=(settings.tracking_uri, str(home), barrier, results)
        )
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    actual = [results.get(timeout=200) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert {version for version, _ in actual} == {served + 1}
    assert "promoted" in {decision for _, decision in actual}
    assert versions(client) == [served, served + 1]
    assert len(client_runs(client)) == 1
