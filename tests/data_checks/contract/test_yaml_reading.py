from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from data_checks.base.errors import ContractError
from data_checks.contract.yaml_reading import MAX_BYTES, dotted, read_yaml

leaves = st.one_of(st.booleans(), st.integers(-(10**9), 10**9), st.text(max_size=8), st.none())
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def write(folder: Path, text: str) -> Path:
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@given(data=st.dictionaries(st.text(min_size=1, max_size=8), values, max_size=4))
def test_reads_what_pyyaml_writes(tmp_path_factory: pytest.TempPathFactory, data: dict) -> None:
    path = write(tmp_path_factory.mktemp("y"), yaml.safe_dump(data, allow_unicode=True))
    assert read_yaml(path)[0] == yaml.safe_load(path.read_text(encoding="utf-8"))


def test_tells_the_line_of_each_key(tmp_path: Path) -> None:
    _, lines = read_yaml(write(tmp_path, "a: 1\nb:\n  - x: 2\n  - y:\n      z: 3\n"))
    assert lines[("b", 1, "y", "z")] == 5
    assert lines[("a",)] == 1
    assert dotted(("b", 1, "y", "z")) == "b[1].y.z"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", ["line 3", "'a'", "twice", "line 1"]),
        ("x:\n  k: 1\n  k: 2\n", ["line 3", "'x.k'", "twice"]),
        ("a: &n 1\nb: *n\n", ["line 2", "alias"]),
        ("a: [1, 2\nb: 3\n", ["line 2"]),
        ("- 1\n- 2\n", ["mapping"]),
        ("", ["mapping"]),
        ("a: 1\n---\nb: 2\n", ["line 2", "second document"]),
        ("a: " + "[" * 50 + "]" * 50, ["nested deeper", "line 1"]),
        ("a: !!python/object/apply:os.system [ls]\n", ["line 1"]),
        ("1: x\n", ["line 1", "not text"]),
        ("a: 2026-99-99\n", ["line 1", "'a'"]),
        ("a: \x01\n", ["c.yaml"]),
    ],
)
def test_refuses_with_place(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(ContractError) as caught:
        read_yaml(write(tmp_path, text))
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refuses_a_bomb_in_no_time(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(ContractError, match=r"line 2.*alias"):
        read_yaml(write(tmp_path, "\n".join(levels)))


def test_refuses_what_is_too_large_missing_or_not_utf8(tmp_path: Path) -> None:
    path = write(tmp_path, "#" * (MAX_BYTES + 1))
    with pytest.raises(ContractError, match="larger than"):
        read_yaml(path)
    with pytest.raises(ContractError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")
    path.write_bytes(b"a: \xe4\n")
    with pytest.raises(ContractError, match="byte 3 is not UTF-8"):
        read_yaml(path)
