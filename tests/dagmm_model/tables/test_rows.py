"""Order of the training rows and weights that are counts."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dagmm_model.tables.rows import canonical_order, counts, training_rows


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 6), st.booleans())
def test_any_order_of_the_rows_comes_out_the_same(seed, n, width, coarse):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, width))
    if coarse:  # many rows equal
        x = np.round(x)
    shuffled = rng.permutation(x)
    np.testing.assert_array_equal(x[canonical_order(x)], shuffled[canonical_order(shuffled)])


def test_equal_rows_of_different_weights_come_in_the_order_of_the_weights():
    rng = np.random.default_rng(0)
    x, weight = rng.integers(0, 3, (200, 2)).astype(float), rng.uniform(0.5, 2.0, 200)
    shuffled = rng.permutation(200)
    for values in (x, weight):
        there = values[canonical_order(x, weight)]
        here = values[shuffled][canonical_order(x[shuffled], weight[shuffled])]
        np.testing.assert_array_equal(there, here)


def test_rows_that_a_huge_value_makes_alike_are_told_apart():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=100), rng.integers(0, 2, 100)])
    x[7, 0] = 1e17  # beside which the others vanish
    shuffled = rng.permutation(x)
    np.testing.assert_array_equal(x[canonical_order(x)], shuffled[canonical_order(shuffled)])


def test_huge_weights_do_not_overflow():
    x = np.arange(6.0).reshape(3, 2)
    rows, weight = training_rows(x, np.array([1e308, 1e308, 0.5e308]))
    np.testing.assert_array_equal(rows, x[canonical_order(x)])
    np.testing.assert_allclose(np.sort(weight), [0.6, 1.2, 1.2])


def test_integer_weights_are_counts_up_to_a_common_factor():
    np.testing.assert_array_equal(counts(np.array([2.0, 4.0, 6.0])), [1, 2, 3])
    assert counts(np.array([0.5, 1.0])) is None
    assert counts(np.array([1.0, 1e6])) is None
