"""The future is never trained on, and what belongs together stays together."""

import numpy as np
import pytest

from dagmm_model.tables.protocols import SplitError
from dagmm_model.tables.timed import joined_groups, time_split


@pytest.mark.parametrize("seed", range(20))
def test_no_row_that_judges_is_earlier_than_one_that_trains(seed):
    rng = np.random.default_rng(seed)
    times = rng.integers(0, 40, 300)  # many rows of one moment, in no order
    labels = rng.random(300) < 0.1
    split, starts = time_split(labels, times)
    train, validation, test = (times[part] for part in (split.train, split.validation, split.test))
    assert train.max() < validation.min() <= validation.max() < test.min()
    assert train.max() < times[starts[0]] <= validation.min()
    assert validation.max() < times[starts[1]] <= test.min()
    assert not labels[split.train].any()
    assert not labels[split.validation].any()
    everything = np.concatenate([split.train, split.validation, split.test, split.set_aside])
    assert sorted(everything) == list(range(300))
    assert len(split.test) == pytest.approx(60, abs=20)


def test_a_group_of_the_past_is_not_judged_on():
    times = np.arange(100)
    groups = np.arange(100)
    groups[90:] = groups[:10]  # the last rows are of pumps that trained
    split, _ = time_split(np.zeros(100, bool), times, groups=groups)
    assert not set(groups[split.train]) & set(groups[split.test])
    assert list(split.set_aside) == list(range(90, 100))


def test_moments_that_cannot_be_divided_are_refused():
    with pytest.raises(SplitError, match=r"train part would be empty: .* different times: 1;"):
        time_split(np.zeros(50, bool), np.zeros(50))
    with pytest.raises(SplitError, match=r"validation part .* different times: 2;"):
        time_split(np.zeros(50, bool), np.arange(50) // 25)


def test_groups_that_all_began_early_leave_nothing_to_judge_on():
    with pytest.raises(
        SplitError, match=r"validation part .* 16 of them are set aside, for their groups"
    ):
        time_split(np.zeros(40, bool), np.arange(40), groups=np.arange(40) % 8)


def test_too_few_normal_rows_are_the_reason_where_they_are():
    with pytest.raises(SplitError, match=r"train part .* more normal rows"):
        time_split(np.arange(40) < 30, np.arange(40))


def test_dates_and_texts_are_moments_as_well():
    days = np.datetime64("2024-01-01") + np.arange(50)
    split, _ = time_split(np.zeros(50, bool), days[::-1])
    assert split.test.max() < split.train.min()


def test_joined_groups_are_transitive():
    devices = np.array(["a", "a", "b", "c", "d"])
    copies = np.array([1, 2, 2, 3, 4])
    actual = joined_groups(devices, copies)
    assert actual[0] == actual[1] == actual[2]
    assert len(set(actual)) == 3
    assert len(set(joined_groups(devices))) == 4
