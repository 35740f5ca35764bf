import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagmm_model.tables.protocols import (
    SplitError,
    deployment_split,
    drawn_rows,
    duplicate_groups,
    file_order_split,
    paper_split,
    shuffled_halves,
)

LABELS = st.lists(st.booleans(), min_size=30, max_size=200).map(np.array)
SEEDS = st.integers(0, 2**32 - 1)


def _all_rows(split):
    return np.concatenate([split.train, split.validation, split.test, split.set_aside])


@given(LABELS.filter(lambda y: (~y).sum() > 10), SEEDS)
def test_every_row_lands_in_exactly_one_part_and_training_is_normal_only(labels, seed):
    for split in (paper_split(labels, seed), deployment_split(labels, seed)):
        assert sorted(_all_rows(split)) == list(range(len(labels)))
        assert not labels[split.train].any()
        assert not labels[split.validation].any()
        assert labels[split.set_aside].all()


@given(LABELS.filter(lambda y: (~y).sum() > 10), SEEDS)
def test_the_seed_decides_everything(labels, seed):
    first, again = deployment_split(labels, seed), deployment_split(labels, seed)
    assert np.array_equal(first.train, again.train)
    assert np.array_equal(first.test, again.test)


def test_deployment_split_keeps_the_anomaly_ratio_in_the_test_part():
    labels = np.arange(1000) < 100
    test = deployment_split(labels, 3).test
    assert labels[test].sum() == 20
    assert len(test) == 200


@given(st.lists(st.integers(0, 20), min_size=60, max_size=200), SEEDS)
def test_grouped_rows_share_a_part(values, seed):
    labels = np.zeros(len(values), dtype=bool)
    try:
        split = deployment_split(labels, seed, groups=values)
    except SplitError:
        return  # a handful of groups can leave a part empty; that is said, not hidden
    groups = np.array(values)
    parts = [set(groups[part]) for part in (split.train, split.validation, split.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))


def test_duplicate_groups_are_equal_exactly_for_identical_rows():
    rows = np.array([[1.0, 0.0], [1.0, -0.0], [2.0, 0.0], [1.0, 0.0]])
    groups = duplicate_groups(rows)
    assert groups[0] == groups[1] == groups[3] != groups[2]


def test_unusable_splits_are_refused():
    with pytest.raises(SplitError, match="train part would be empty"):
        paper_split(np.ones(10, dtype=bool), 0)
    with pytest.raises(SplitError, match="add up to 1"):
        deployment_split(np.zeros(10, dtype=bool), 0, fractions=(0.5, 0.5, 0.5))
    with pytest.raises(SplitError, match="1 rows"):
        deployment_split(np.zeros(1, dtype=bool), 0)


@given(LABELS.filter(lambda y: (~y).sum() > 10), SEEDS, st.integers(1, 200))
def test_halves_of_the_normal_rows_train_and_all_anomalies_test(labels, seed, most):
    normals = int((~labels).sum())
    halves, first = shuffled_halves(labels, seed, most=most), file_order_split(labels)
    for split in (halves, first):
        assert sorted(_all_rows(split)) == list(range(len(labels)))
        assert not labels[split.train].any()
        assert labels[split.test].sum() == labels.sum()
        assert (~labels[split.test]).sum() == normals - normals // 2
    assert len(halves.train) == min(most, normals // 2)
    # In file order no training row comes after a normal test row.
    assert first.train.max() < first.test[~labels[first.test]].min()


def test_rows_are_drawn_as_numpys_legacy_generator_draws_them():
    np.random.seed(3)  # noqa: NPY002  what ADBench's generator does
    expected = np.random.choice(np.arange(7), 20, replace=True)  # noqa: NPY002
    assert drawn_rows(7, 3, least=20).tolist() == expected.tolist()
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.choice(np.arange(50), 20, replace=False)  # noqa: NPY002
    assert drawn_rows(50, 3, most=20).tolist() == expected.tolist()
    assert drawn_rows(50, 3, least=50, most=50).tolist() == list(range(50))


def test_parts_of_drawn_rows_are_rows_of_the_table():
    labels = np.array([False] * 6 + [True] * 2)
    drawn = np.array([7, 0, 0, 3, 6, 1])
    split = file_order_split(labels[drawn]).of(drawn)
    assert split.train.tolist() == [0, 0]
    assert sorted(split.test) == [1, 3, 6, 7]


def test_a_table_without_two_normal_rows_cannot_be_halved():
    for split in (file_order_split, lambda y: shuffled_halves(y, 0, most=10)):
        with pytest.raises(SplitError, match="train part would be empty"):
            split(np.array([True, False, True]))
