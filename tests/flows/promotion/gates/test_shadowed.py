"""The gate `shadowed`: off by default; else rows, hours and agreement, of one pair and one seal."""

import pytest

from flows.promotion.gates.shadowed import GATE
from flows.promotion.version import shadows
from tests.flows import promotion_store as made
from tests.flows.promotion.conftest import NAME, gate

ASKING = made.QUICK.model_copy(
    update={"min_shadow_rows": 1000, "min_shadow_hours": 2.0, "max_shadow_disagreement": 0.01}
)
HOUR = 3600.0


@pytest.fixture
def sitting(store):
    """Writes down what a shadow found, as a shadow does."""

    def write(
        candidate, answers, rows, other=0, began=0.0, hours=3.0, sealed=None, content=None
    ) -> None:
        client = store[1]
        experiment = client.get_experiment_by_name(shadows.SHADOWS)
        where = experiment.experiment_id if experiment else client.create_experiment("shadows")
        version = client.get_model_version(NAME, str(candidate))
        tags = {
            shadows.MODEL: NAME,
            shadows.FIRST: str(answers),
            shadows.CANDIDATE: str(candidate),
            shadows.EVIDENCE: sealed or version.tags[shadows.EVIDENCE],
        }
        if content:
            tags[shadows.CONTENT] = content
        run = client.create_run(where, tags=tags).info.run_id
        for name, value in (
            (shadows.ROWS, rows),
            (shadows.DISAGREEMENTS, other),
            (shadows.BEGAN, 1e9 + began * HOUR),
            (shadows.ENDED, 1e9 + (began + hours) * HOUR),
        ):
            client.log_metric(run, name, value)

    return write


@pytest.fixture
def pair(new, promote):
    """Version in production, and a candidate."""
    answers = new()
    assert promote(answers).decision == "promoted"
    return answers, new()


def test_it_is_off_until_it_is_asked_for(pair, promote):
    actual = gate(promote(pair[1], rehearse=True), GATE)
    assert (actual.passed, actual.measured, actual.note) == (True, False, "not asked for")


def test_a_first_version_has_nobody_to_be_beside(new, promote):
    assert not gate(promote(new(), policy=ASKING, rehearse=True), GATE).measured


def test_too_few_rows_wait_and_enough_of_them_pass(pair, promote, sitting):
    answers, candidate = pair
    record = promote(candidate, policy=ASKING)
    actual = gate(record, GATE)
    assert (record.decision, actual.passed, actual.waits) == ("pending shadow", False, True)
    assert "--shadow" in actual.note
    sitting(candidate, answers, 600, other=4)
    assert promote(candidate, policy=ASKING).decision == "pending shadow"
    sitting(candidate, answers, 400, other=6, began=5.0, hours=1.0)
    record = promote(candidate, policy=ASKING)
    figures = {f.name: f.value for f in gate(record, GATE).figures}
    assert figures == {"shadowed rows": 1000, "hours": 6.0, "disagreement": 0.01}
    assert record.decision == "promoted"


def test_a_table_that_is_scored_again_counts_once(pair, promote, sitting):
    answers, candidate = pair
    for hours in (1.0, 3.0, 5.0):
        sitting(candidate, answers, 600, began=hours, hours=1.0, content="one")
    record = promote(candidate, policy=ASKING)
    figures = {f.name: f.value for f in gate(record, GATE).figures}
    assert figures == {"shadowed rows": 600, "hours": 1.0}
    assert record.decision == "pending shadow"
    sitting(candidate, answers, 600, began=4.0, hours=1.0, content="another")
    assert promote(candidate, policy=ASKING).decision == "promoted"


def test_rows_of_too_short_a_time_wait(pair, promote, sitting):
    sitting(pair[1], pair[0], 5000, hours=1.9)
    record = promote(pair[1], policy=ASKING)
    assert (record.decision, gate(record, GATE).waits) == ("pending shadow", True)


def test_too_much_disagreement_refuses(pair, promote, sitting):
    sitting(pair[1], pair[0], 1000, other=11)
    record = promote(pair[1], policy=ASKING)
    actual = gate(record, GATE)
    assert (record.decision, actual.waits) == ("rejected", False)
    assert "disagreement" in actual.message
    record = promote(pair[1], policy=ASKING, overrides={GATE: "wanted: it is another budget"})
    assert record.decision == "promoted"


def test_what_was_seen_of_others_does_not_count(pair, promote, sitting):
    answers, candidate = pair
    sitting(candidate, answers + 7, 5000)
    sitting(candidate, answers, 5000, sealed="0" * 64)
    sitting(answers, answers, 5000)
    figures = gate(promote(candidate, policy=ASKING), GATE).figures
    assert [f.value for f in figures] == [0]
