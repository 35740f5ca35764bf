"""Precision is counted; recall is estimated, and its interval holds what it promises."""

import numpy as np
import pytest

from flows.verdicts.estimates import estimated_recall, live_figures
from flows.verdicts.standing import standing
from flows.verdicts.store import Review, ReviewRow
from tests.flows.verdicts.made import row_verdict


def review(name, alerts, below):
    return Review(name, "m", 1, "rows.csv", 0.0, 3.5, alerts, below)


def test_precision_counts_the_alerts_of_that_version_of_which_somebody_is_sure():
    verdicts = [
        row_verdict(1, "anomaly"),
        row_verdict(2, "normal"),
        row_verdict(3, "anomaly"),
        row_verdict(4, "unsure"),
        row_verdict(5, "anomaly", version=2),
        row_verdict(6, "anomaly", flagged=False),
    ]
    live = live_figures(1, verdicts, standing(verdicts), [], [])
    assert live.judged_alerts == 3
    assert live.precision.value == pytest.approx(2 / 3)
    assert live.precision.low < 2 / 3 < live.precision.high
    assert live.recall is None


def test_recall_weighs_the_drawn_rows_by_those_they_stand_for():
    actual = estimated_recall([review("a", 10, 1000)], {"a": (10, 8)}, {"a": (100, 1)})
    assert actual.value == pytest.approx(8 / (8 + 10))
    assert 0 < actual.low < actual.value < actual.high <= 1


@pytest.mark.parametrize(("hits", "missed"), [(10, 0), (0, 5)])
def test_the_interval_holds_the_estimate_where_all_or_none_were_found(hits, missed):
    actual = estimated_recall([review("a", 90, 1000)], {"a": (10, hits)}, {"a": (100, missed)})
    assert actual.value == (hits > 0)
    assert actual.low <= actual.value <= actual.high
    assert actual.low < actual.high


def test_batches_count_by_their_size():
    reviews = [review("a", 5, 10_000), review("b", 5, 100)]
    actual = estimated_recall(reviews, {"a": (5, 5), "b": (5, 5)}, {"a": (20, 1), "b": (20, 0)})
    assert actual.value == pytest.approx(10 / (10 + 500 * 10_100 / 10_100))


def test_rows_that_were_all_judged_leave_no_doubt():
    actual = estimated_recall([review("a", 4, 6)], {"a": (4, 3)}, {"a": (6, 1)})
    assert (actual.value, actual.low, actual.high) == (0.75, 0.75, 0.75)


def test_equal_rows_of_a_review_count_each():
    rows = [ReviewRow("a", i, row_verdict(1).row_key, "{}", 1.0, False) for i in range(4)]
    rows += [ReviewRow("a", 9, row_verdict(2).row_key, "{}", 9.0, True)]
    verdicts = [row_verdict(1, "anomaly", flagged=False), row_verdict(2, "anomaly")]
    live = live_figures(1, verdicts, standing(verdicts), [review("a", 1, 4)], rows)
    assert (live.drawn, live.missed) == (4, 4)
    assert live.recall.value == pytest.approx(1 / 5)


def test_nobody_has_judged_a_drawn_row():
    assert estimated_recall([review("a", 10, 1000)], {"a": (10, 8)}, {}) is None


def test_the_interval_holds_the_recall_as_often_as_it_says():
    """30 batches of 2,000 rows with 1 % anomalies, 70 % of which are alerts; 20 drawn of each."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        alerts, below, reviews, caught, missed = {}, {}, [], 0, 0
        for day in range(30):
            bad = rng.binomial(2000, 0.03)
            hits = rng.binomial(bad, 0.7)
            false = rng.binomial(2000 - bad, 0.02)
            rest = 2000 - hits - false
            drawn = rng.hypergeometric(bad - hits, rest - bad + hits, 20)
            reviews.append(review(str(day), hits + false, rest))
            alerts[str(day)], below[str(day)] = (hits + false, hits), (20, drawn)
            caught, missed = caught + hits, missed + bad - hits
        actual = estimated_recall(reviews, alerts, below)
        held += actual.low <= caught / (caught + missed) <= actual.high
    assert held >= 180
