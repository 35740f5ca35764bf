"""The compiled loops against NumPy and SciPy, where values are extreme; the rest in test_engine."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax

from dagmm_model.kernels import arithmetic as kernels
from dagmm_model.kernels import tanh as kernels_tanh

ALL = np.concatenate(
    [-np.geomspace(1e300, 1e-300, 4001), [0.0, -0.0], np.geomspace(1e-300, 1e300, 4001)]
)


def test_exp_is_numpys_to_the_last_digits():
    x = np.concatenate([np.linspace(-699.9, 700.0, 20_001), [0.0, -1e-300, 1e-17]])
    np.testing.assert_allclose([kernels.exp(v) for v in x], np.exp(x), rtol=4.5e-16)
    assert [kernels.exp(v) for v in (-701.0, -1e300, -np.inf)] == [0.0, 0.0, 0.0]
    assert np.isnan(kernels.exp(np.nan))


def test_tanh_in_double_precision_is_numpys_everywhere():
    x = ALL.reshape(1, 1, -1).copy()
    kernels_tanh.tanh_biased(x, np.zeros((1, x.size)))
    np.testing.assert_allclose(x[0, 0], np.tanh(ALL), rtol=0, atol=4e-16)
    np.testing.assert_array_equal(x[0, 0, [0, -1]], [-1.0, 1.0])


def test_tanh_in_single_precision_is_numpys_to_a_few_units_in_the_last_place():
    with np.errstate(over="ignore", under="ignore"):
        values = np.concatenate([ALL, np.linspace(-12, 12, 100_001)]).astype(np.float32)
    expected = np.tanh(values.astype(np.float64))
    hidden = np.ones((1, 2, len(values)), np.float32)
    hidden[0, 0] = values
    kernels_tanh.tanh_rows(hidden)
    np.testing.assert_allclose(hidden[0, 0], expected, rtol=4e-7)
    assert abs(hidden).max() <= 1.0
    assert (hidden[0, 1] == 1.0).all(), "the row of ones"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_a_number_stays_visible(dtype):
    hidden = np.array([[[np.nan, 1.0], [1.0, 1.0]]], dtype)
    kernels_tanh.tanh_rows(hidden)
    assert np.isnan(hidden[0, 0, 0])
    assert np.isfinite(hidden[0, 0, 1])
    gamma = np.empty((1, 2, 2))
    kernels.softmax(hidden, gamma)
    assert np.isnan(gamma[0, :, 0]).all()
    assert np.isfinite(gamma[0, :, 1]).all()


@given(
    logs=st.lists(st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3), min_size=1, max_size=6),
    shift=st.floats(-1e6, 1e6),
)
def test_responsibilities_and_evidence_of_any_densities(logs, shift):
    joint = np.array(logs) + shift
    weights, out = np.empty_like(joint), np.empty(3)
    constants = joint.max(axis=1)
    white = np.sqrt(2.0 * (constants[:, None] - joint))
    kernels.evidence(white, constants, weights, out)
    joint = constants[:, None] - 0.5 * white**2
    np.testing.assert_allclose(out, logsumexp(joint, axis=0), rtol=1e-14, atol=1e-14)
    # A weight is as exact as the logarithm that it is the exponential of.
    lost = 4e-16 * np.abs(joint).max()
    np.testing.assert_allclose(weights, softmax(joint, axis=0), rtol=1e-14 + lost, atol=1e-300)


def test_without_a_place_to_keep_them_kernels_are_compiled_with_a_warning(tmp_path):
    # A file in no folder: Numba finds no place beside it, and none elsewhere.
    code = (
        "import sys, types\n"
        "import dagmm_model.kernels.arithmetic as k\n"
        "source = 'def f(x):\\n    return x + 1.0\\n'\n"
        "space = {}\n"
        "exec(compile(source, '/nowhere/at/all.py', 'exec'), space)\n"
        "print(k.compiled(space['f'])(1.5))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null"},
    )  # fmt: skip
    assert done.stdout == "2.5\n"
    assert "set NUMBA_CACHE_DIR" in done.stderr
