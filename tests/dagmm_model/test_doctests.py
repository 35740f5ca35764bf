"""The examples of the docstrings are true."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["checkpoint", "estimator", "mixture", "persistence"])
def test_examples(name):
    module, shown = import_module(f"dagmm_model.{name}"), {}
    if name == "estimator":  # its methods go on with the example of the class
        exec(doctest.script_from_examples(module.DAGMM.__doc__), shown)
    result = doctest.testmod(module, extraglobs=shown)
    assert result.attempted > 0
    assert result.failed == 0
