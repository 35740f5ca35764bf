"""Signals held back while something is completed."""

import signal
from contextlib import suppress

import pytest

from dagmm_model.base.checkpoint import TrainingStopped
from flows.common.signals import ENDING, held_back


@pytest.fixture(autouse=True)
def handled(monkeypatch):
    """What came, once it was let through."""
    came = []
    before = {n: signal.signal(n, lambda number, _frame: came.append(number)) for n in ENDING}
    yield came
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_the_first_waits_until_the_block_ends_and_the_second_does_not(handled, number):
    with held_back() as told:
        assert not told()
        signal.raise_signal(number)
        assert told()
        assert handled == []
        signal.raise_signal(signal.SIGTERM)
        assert handled == [signal.SIGTERM]
    assert handled == [signal.SIGTERM, number]
    signal.raise_signal(number)
    assert handled[2:] == [number], "the handlers of before are back"


def test_what_the_process_ignores_stays_ignored(handled):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell has it for what it starts with `&`
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` has it
    with held_back() as told:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGHUP)
        assert not told()
    assert handled == []


@pytest.mark.parametrize("sent", [(), (signal.SIGINT,)])
def test_a_training_that_stopped_ends_by_a_signal(handled, sent):
    with suppress(TrainingStopped), held_back():
        for number in sent:
            signal.raise_signal(number)
        raise TrainingStopped("of all ranks")
    assert handled == list(sent or (signal.SIGTERM,))
