"""One name means one thing, and the names that prose gives are those of the code."""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("dagmm_model", "data_checks", "flows")
NAMED_BY_OTHERS = ("flows/cli/", "flows/orchestration/", "flows/verdicts/migrations/")
"""A command and a Prefect flow have the name of the work that they call; Alembic names its own."""


def test_no_two_public_things_have_one_name():
    places = defaultdict(list)
    for package in PACKAGES:
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


def _defined(module: Path) -> set[str]:
    """Functions, classes, what is assigned, and the members of classes as ``Class.member``."""
    names = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        of_class = (
            [(f"{node.name}.", n) for n in node.body] if isinstance(node, ast.ClassDef) else []
        )
        for prefix, each in [("", node), *of_class]:
            targets = getattr(each, "targets", None) or [getattr(each, "target", each)]
            named = (getattr(t, "id", None) or getattr(t, "name", None) for t in targets)
            names |= {prefix + name for name in named if name}
    return names


def test_what_docstrings_and_pages_name_exists():
    pattern = re.compile(rf"`((?:{'|'.join(PACKAGES)})(?:\.\w+)+)`")
    code = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    checked, unknown = 0, []
    for file in [*code, ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for name in pattern.findall(file.read_text(encoding="utf-8")):
            parts = name.split(".")
            paths = [(k, ROOT.joinpath(*parts[:k])) for k in range(len(parts), 0, -1)]
            k, at = next((k, p) for k, p in paths if p.is_dir() or p.with_suffix(".py").is_file())
            module = at / "__init__.py" if at.is_dir() else at.with_suffix(".py")
            checked += 1
            if k < len(parts) and ".".join(parts[k:]) not in _defined(module):
                unknown.append(f"{file.relative_to(ROOT)}: {name}")
    assert checked > 50
    assert unknown == []
