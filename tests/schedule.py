"""In which order `make test` gives the files of tests to its processes.

A file is run by one process, because of its fixtures; so are all files that share something dear.
What takes long begins first: at the end no process waits for another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).parents[1]
SHARED = {
    "forks": re.compile(r"^from tests\.\S+ import .*\b(forked|processes|Team)\b", re.M),
    "postgres": re.compile(r"^def test_\w+\([^)]*\bpostgres\b|getfixturevalue\(.postgres", re.M),
    "spark": re.compile(r"^def test_\w+\([^)]*\bspark\b", re.M),
}
"""What is dear, and how a file names it: a server of forks, which imports everything, one of
PostgreSQL, and a session of Spark, which starts a Java machine."""


@cache
def unit_of(file: str) -> str:
    """Files of one unit are run by one process: the name of what they share, or of the file."""
    text = (ROOT / file).read_text(encoding="utf-8")
    return next((name for name, named in SHARED.items() if named.search(text)), file)


def longest_first(items: list[pytest.Item]) -> Callable[[pytest.Item], tuple[bool, bool, int, str]]:
    """Key by which to sort: what is shared, what runs commands, the rest; many tests before few."""
    tests = Counter(_unit(item) for item in items)

    def key(item: pytest.Item) -> tuple[bool, bool, int, str]:
        unit = _unit(item)
        return unit not in SHARED, not unit.startswith("tests/flows/"), -tests[unit], unit

    return key


def _unit(item: pytest.Item) -> str:
    return unit_of(item.nodeid.partition("::")[0])


class ByUnit(LoadFileScheduling):
    """A process gets whole units, in the order of their first tests."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(super()._split_scope(nodeid))
