"""The examples of the docstrings are true."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["checkpoint", "estimator", "mixture", "persistence"])
def test_examples(name):
    result = doctest.testmod(import_module(f"dagmm_model.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
