"""What two versions say of the same rows is counted the same, however the rows come."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import spearmanr

from data_checks.base.errors import SourceError
from flows.shadow import agreement
from flows.shadow.agreement import Agreement
from tests.flows.shadow.conftest import CONTRACT, table


def plain(frame) -> dict:
    return {name: frame[name].tolist() for name in frame}


def counts(agreement: Agreement) -> dict:
    kept = agreement.document()
    return {k: v for k, v in kept.items() if k not in ("began", "ended", "rank_correlation")}


def compare(first, candidate, frame, form=plain) -> Agreement:
    actual = Agreement()
    _, scores = first.score(form(frame))
    actual.add(first, candidate, form(frame), scores.energy, np.ones(len(frame), bool))
    return actual


def test_the_figures_are_those_of_both_versions_verdicts(first, candidate):
    frame = table(300, 3)
    mine, other = (v.score(plain(frame))[1] for v in (first, candidate))
    actual = compare(first, candidate, frame)
    both = mine.is_anomaly & other.is_anomaly
    assert actual.rows == 300
    assert actual.both == both.sum()
    assert actual.only_first == (mine.is_anomaly & ~other.is_anomaly).sum()
    assert actual.only_second == (other.is_anomaly & ~mine.is_anomaly).sum()
    assert actual.only_first > 0
    assert actual.disagreement == (actual.only_first + actual.only_second) / 300
    expected = spearmanr(mine.energy, other.energy).statistic
    assert actual.rank_correlation == pytest.approx(expected)
    assert sum(actual.reasons_first.values()) == actual.only_first
    assert sum(actual.reasons_second.values()) == actual.only_second
    assert set(actual.reasons_first) <= {"a", "b", "mode"}


def test_the_same_rows_have_the_same_content_in_any_order_and_slices(first, candidate):
    frame = table(60, 5)

    def content(rows, size=60) -> int:
        total = Agreement(content=0)
        for start in range(0, len(rows), size):
            part, some = Agreement(content=0), plain(rows.iloc[start : start + size])
            energy = first.score(some)[1].energy
            part.add(first, candidate, some, energy, np.ones(len(energy), bool))
            total.merge(part)
        return total.content

    whole = content(frame)
    assert content(frame.sample(frac=1, random_state=0), 7) == whole
    assert content(frame.assign(unused="today")) == whole
    for other in (frame.iloc[1:], frame.assign(b=frame.b.round(3)), table(60, 6)):
        assert content(other) != whole


@pytest.mark.parametrize("size", [1, 7, 299])
def test_slices_add_up(first, candidate, size):
    frame = table(300, 4)
    whole, total = compare(first, candidate, frame), Agreement()
    for start in range(0, 300, size):
        total.merge(compare(first, candidate, frame.iloc[start : start + size]))
    assert counts(total) == counts(whole)
    assert total.rank_correlation == pytest.approx(whole.rank_correlation, abs=1e-6)
    assert 0 < total.began <= total.ended


def test_arrow_rows_are_the_same_rows(first, candidate):
    frame = table(120, 5)

    def batch(rows):
        return pa.RecordBatch.from_pandas(rows, preserve_index=False)

    arrow = compare(first, candidate, frame, batch)
    assert counts(arrow) == counts(compare(first, candidate, frame))


def test_rows_that_only_the_candidate_refuses_are_counted_apart(first, candidate):
    strict = CONTRACT.model_copy(
        update={"scoring": CONTRACT.scoring.model_copy(update={"outside": "reject"})}
    )
    frame = table(60, 6)
    frame.loc[[3, 7], "a"] = 99.0
    frame.loc[9, "mode"] = "other"
    actual = compare(first, replace(candidate, contract=strict), frame)
    assert (actual.rows, actual.refused) == (57, 3)


def test_rows_that_the_first_refused_take_no_part(first, candidate):
    frame = table(50, 7).astype({"a": object})
    frame.loc[[0, 20], "a"] = "many"
    checked, scores = first.score(plain(frame))
    actual = Agreement()
    actual.add(first, candidate, plain(frame), scores.energy, checked.scorable)
    assert (actual.rows, actual.refused) == (48, 0)


def test_a_candidate_that_cannot_read_the_rows_counts_nothing(first, candidate):
    columns = [*CONTRACT.columns, CONTRACT.columns[1].model_copy(update={"name": "c"})]
    wider = replace(candidate, contract=CONTRACT.model_copy(update={"columns": tuple(columns)}))
    actual, frame = Agreement(), table(20, 8)
    with pytest.raises(SourceError, match="missing column 'c'"):
        actual.add(first, wider, plain(frame), np.zeros(20), np.ones(20, bool))
    assert counts(actual) == counts(Agreement())


def test_memory_is_bounded_and_the_sample_is_of_all_rows(monkeypatch):
    monkeypatch.setattr(agreement, "SAMPLE", 500)
    actual = Agreement()
    for start in range(0, 10_000, 100):
        energies = np.arange(start, start + 100.0)
        actual.keep(np.stack([np.random.default_rng(start).random(100), energies, -energies]))
    first, second = actual.sample
    assert len(first) == 500
    assert actual.rank_correlation == -1
    assert (second == -first).all()
    assert 4_000 < first.mean() < 6_000


def test_nothing_seen_is_nothing_said():
    actual = Agreement().document()
    assert (actual["rows"], actual["disagreement"], actual["rank_correlation"]) == (0, None, None)
