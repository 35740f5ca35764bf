"""The examples of docs/python.md are true."""

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
CHAIN = "## The whole chain"


def _run(text: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    example = doctest.DocTestParser().get_doctest("".join(blocks), {}, PAGE.name, str(PAGE), 0)
    runner = doctest.DocTestRunner()
    runner.run(example)
    assert runner.tries > 20
    assert runner.failures == 0


def test_detectors_and_contracts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _run(PAGE.read_text(encoding="utf-8").split(CHAIN)[0])


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server", "home")
def test_the_whole_page():
    _run(PAGE.read_text(encoding="utf-8"))
