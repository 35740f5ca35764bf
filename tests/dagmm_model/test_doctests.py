"""The examples of the docstrings are true."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "dagmm_model"
MODULES = sorted(
    ".".join(("dagmm_model", *file.relative_to(PACKAGE).with_suffix("").parts))
    for file in PACKAGE.rglob("*.py")
    if ">>>" in file.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module, shown = import_module(name), {}
    for name in ("DAGMM", "FittedDagmm"):  # their methods continue the example of the class
        if hasattr(module, name):
            exec(doctest.script_from_examples(getattr(module, name).__doc__), shown)
    result = doctest.testmod(module, extraglobs=shown)
    assert result.attempted > 0
    assert result.failed == 0
