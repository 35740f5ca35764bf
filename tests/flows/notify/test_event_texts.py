"""Every decision that somebody waits for is told, under its own title."""

from typing import get_args

import pytest

from flows.common.settings import Settings
from flows.notify.event_texts import decided
from flows.notify.tell import tell
from flows.stages.decision import Decision, PromoteRecord

NO_NEWS = {"unchanged", "registered only"}
BY_THE_SERVER = {"not served"}


def event_of(decision: str):
    record = PromoteRecord(
        name="dagmm-pumps",
        version=7,
        decision=decision,
        previous=6,
        gates=(),
        reasons=("because",),
    )
    return decided(Settings(), record)


@pytest.mark.parametrize("decision", get_args(Decision))
def test_every_decision_but_those_that_change_nothing_is_told(decision):
    event = event_of(decision)
    assert (event is None) == (decision in NO_NEWS | BY_THE_SERVER)


@pytest.mark.parametrize("decision", ["pending approval", "pending shadow"])
def test_who_waits_is_told_as_pending_with_what_it_waits_for(decision):
    event = event_of(decision)
    assert event.kind == "pending"
    assert event.title == "dagmm-pumps version 7: waits"
    assert "because" in event.reason


@pytest.mark.parametrize(
    ("decision", "told"), [("promoted", 2), ("rolled back", 2), ("rejected", 1), ("held", 1)]
)
def test_each_switch_of_production_is_told_and_a_refusal_once(configure, http, decision, told):
    settings = configure(("webhook", http.url))
    for _ in range(2):
        tell(settings, event_of(decision))
    assert len(http.requests) == told
