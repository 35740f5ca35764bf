"""Errors of hidden columns against the network run with each mask written out."""

import numpy as np
import pytest

from dagmm_model.networks.compression import LOG_FLOOR, decode, encode
from dagmm_model.networks.network import initialise
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.scoring.masked import (
    ROUNDS,
    TAIL,
    TYPICAL_FLOOR,
    MaskedNetwork,
    groups,
    log_error,
    relative_errors,
    rounds,
)


def network(width, encoder_widths=(7, 5, 3), members=2):
    settings = DagmmSettings(encoder_widths=encoder_widths, initial_weights="fan_in")
    parameters = initialise(settings, width, range(members))
    return {name: value.astype(np.float64) for name, value in parameters.items()}


@pytest.mark.parametrize("width", [1, 2, 3, 4, 9, 118])
def test_every_column_is_hidden_as_often_as_the_others_and_never_all_of_several(width):
    actual = groups(width)
    assert np.bincount(np.concatenate(actual), minlength=width).tolist() == [rounds(width)] * width
    assert all(len(group) < width or width == 1 for group in actual)
    again = groups(width)
    assert all((a == b).all() for a, b in zip(actual, again, strict=True))


@pytest.mark.parametrize("widths", [(7, 5, 3), (4, 2), (3,)])
def test_codes_and_errors_are_those_of_the_masks_written_out(widths):
    x, parameters = np.random.default_rng(0).normal(size=(23, 9)), network(9, widths)
    codes, errors = MaskedNetwork(parameters).codes_and_errors(x)
    np.testing.assert_allclose(codes, encode(np, parameters, x[None]), rtol=1e-10, atol=1e-13)
    expected = np.zeros((2, 23, 9))
    for hidden in groups(9):
        seen = x.copy()
        seen[:, hidden] = 0.0
        x_hat = decode(np, parameters, encode(np, parameters, seen[None]))
        expected[..., hidden] += (x_hat - x)[..., hidden] ** 2 / ROUNDS
    np.testing.assert_allclose(errors, expected, rtol=1e-9, atol=1e-13)


def test_the_log_error_is_its_formula_from_no_error_to_the_largest():
    errors = np.random.default_rng(0).lognormal(sigma=3.0, size=(2, 50, 300))
    typical = errors.mean(axis=1)
    errors[0, 0], errors[1, 1, ::2] = 0.0, 1e200
    parts = TAIL * np.log1p(errors / (TAIL * (typical + TYPICAL_FLOOR))[:, None])
    np.testing.assert_allclose(relative_errors(errors, typical), parts, rtol=1e-12)
    expected = np.log(parts.sum(axis=2) + 300 * LOG_FLOOR)
    np.testing.assert_allclose(log_error(errors, typical), expected, rtol=1e-11)


def test_a_column_that_others_foretell_counts_relative_to_its_usual_error():
    errors = np.ones((1, 2, 2))
    errors[0, 0, 0] = errors[0, 1, 1] = 2.0
    first, second = log_error(errors, np.array([[0.01, 1.0]]))[0]
    assert first > second
