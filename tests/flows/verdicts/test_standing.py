"""What holds of a row after all that was said."""

from flows.verdicts.standing import standing
from tests.flows.verdicts.made import row_verdict

KEY = row_verdict(1).row_key


def holds(*verdicts):
    return standing(verdicts)[KEY]


def test_of_each_person_the_newest_counts_whatever_the_order():
    actual = holds(row_verdict(1, "anomaly", time=5.0), row_verdict(1, "normal", time=3.0))
    assert (actual.holds, actual.label) == ("anomaly", 1)


def test_of_two_of_the_same_time_the_later_added_counts():
    assert (
        holds(row_verdict(1, "anomaly", time=5.0, id=1), row_verdict(1, time=5.0, id=2)).holds
        == "normal"
    )


def test_who_is_unsure_has_no_vote():
    assert (
        holds(
            row_verdict(1, "unsure", who="bob", time=9.0), row_verdict(1, "anomaly", time=2.0)
        ).label
        == 1
    )
    assert (
        holds(row_verdict(1, "anomaly", time=2.0), row_verdict(1, "unsure", time=9.0)).holds
        == "unsure"
    )


def test_two_who_disagree_leave_it_open_until_they_agree():
    both = [row_verdict(1, "anomaly", time=2.0), row_verdict(1, "normal", who="bob", time=9.0)]
    assert holds(*both).holds == "disputed"
    assert holds(*both).label is None
    assert holds(*both, row_verdict(1, "normal", time=10.0)).label == 0


def test_rows_stand_for_themselves():
    actual = standing([row_verdict(1), row_verdict(2, "anomaly")])
    assert [each.holds for each in actual.values()] == ["normal", "anomaly"]
