"""Order of the training rows and weights that are counts."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dagmm_model.rows import canonical_order, counts


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 6), st.booleans())
def test_any_order_of_the_rows_comes_out_the_same(seed, n, width, coarse):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, width))
    if coarse:  # many rows equal
        x = np.round(x)
    shuffled = rng.permutation(x)
    np.testing.assert_array_equal(x[canonical_order(x)], shuffled[canonical_order(shuffled)])


def test_integer_weights_are_counts_up_to_a_common_factor():
    np.testing.assert_array_equal(counts(np.array([2.0, 4.0, 6.0])), [1, 2, 3])
    assert counts(np.array([0.5, 1.0])) is None
    assert counts(np.array([1.0, 1e6])) is None
