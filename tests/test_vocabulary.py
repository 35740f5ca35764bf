"""One name means one thing: no two public functions or classes of the packages share it."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMED_BY_OTHERS = ("flows/cli/", "flows/orchestration/", "flows/verdicts/migrations/")
"""A command and a Prefect flow have the name of the work that they call; Alembic names its own."""


def test_no_two_public_things_have_one_name():
    places = defaultdict(list)
    for package in ("dagmm_model", "data_checks", "flows"):
        for file in sorted((ROOT / package).rglob("*.py")):
            place = file.relative_to(ROOT).as_posix()
            if place.startswith(NAMED_BY_OTHERS):
                continue
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
                    places[node.name].append(place)
    del places["main"]  # of what runs as a program of its own
    assert len(places) > 1000
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
