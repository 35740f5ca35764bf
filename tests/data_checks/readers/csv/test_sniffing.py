"""Encoding, delimiter and header of files as other programs write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_checks.drafting.drafting import draft_contract
from data_checks.readers.csv.sniffing import sniff

RNG = np.random.default_rng(0)
NUMBERS = [[f"{a:.2f}", f"{b:.1f}", f"{c:.3f}"] for a, b, c in RNG.normal(20, 5, (40, 3))]
LEVELS = [[f"{a:.2f}", "red" if a > 20 else "blue"] for a in RNG.normal(20, 5, 40)]


def write(path: Path, rows: list[list[str]], delimiter: str = ",", encoding: str = "utf-8") -> str:
    path.write_bytes("".join(delimiter.join(row) + "\n" for row in rows).encode(encoding))
    return str(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"]
)
def test_delimiters_and_encodings(tmp_path: Path, delimiter: str, encoding: str) -> None:
    rows = [["größe", "b", "c"], *NUMBERS]
    place = write(tmp_path / "t.csv", rows, delimiter, encoding)
    actual = sniff(place)
    assert actual.settings.delimiter == delimiter
    assert actual.head.rows[0] == ("größe", "b", "c")
    assert actual.settings.header
    assert bool(actual.doubts) is (encoding == "cp1252")
    assert [c.name for c in draft_contract(place).contract.columns] == ["größe", "b", "c"]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("header", [["a", "b", "c"], None])
def test_decimal_commas_are_no_delimiter(
    tmp_path: Path, delimiter: str, header: list[str] | None
) -> None:
    rows = [[cell.replace(".", ",") for cell in row] for row in NUMBERS]
    place = write(tmp_path / "t.csv", [*([header] if header else []), *rows], delimiter)
    actual = sniff(place)
    assert actual.settings.delimiter == delimiter
    assert actual.settings.header is (header is not None)


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        (["0", "1", "2"], NUMBERS),
        (["1", "2", "3"], NUMBERS),
        (["", "0", "1"], [[str(i), *row[:2]] for i, row in enumerate(NUMBERS)]),
        (["site", "2019", "2020"], [[f"s{i}", *row[:2]] for i, row in enumerate(NUMBERS)]),
        (["x", "1"], [row[:2] for row in NUMBERS]),
        (["1", "kind"], LEVELS),
        (["0", "1", "2", "label"], [[*row, str(i % 2)] for i, row in enumerate(NUMBERS)]),
    ],
)
def test_numbers_among_names_are_names_and_said(
    tmp_path: Path, first: list[str], rest: list[list[str]]
) -> None:
    place = write(tmp_path / "t.csv", [first, *rest])
    actual = sniff(place)
    assert actual.settings.header
    assert any("taken as names" in doubt for doubt in actual.doubts)


@pytest.mark.parametrize(
    "rows",
    [
        NUMBERS,
        LEVELS,
        [["0", "tcp", "SF", str(i)] for i in range(30)],
        [[f"2026-01-{i + 1:02d}", "on" if i % 3 else "off"] for i in range(28)],
        [["true", "red"], ["false", "blue"], ["true", "red"], ["false", "blue"]],
    ],
    ids=["numbers", "levels", "codes", "times", "words"],
)
def test_a_first_row_of_values_is_no_header(tmp_path: Path, rows: list[list[str]]) -> None:
    assert not sniff(write(tmp_path / "t.csv", rows)).settings.header


def test_whole_numbers_alone_are_asked_about(tmp_path: Path) -> None:
    rows = [[str(v) for v in row] for row in RNG.integers(0, 50, (30, 3))]
    actual = sniff(write(tmp_path / "t.csv", [["7", "3", "9"], *rows]))
    assert any("taken as a row" in doubt for doubt in actual.doubts)


def test_a_label_that_the_first_line_names_makes_it_a_header(tmp_path: Path) -> None:
    rows = [
        ["7", "3", "state"],
        *([*row[:2], "ok" if i else "bad"] for i, row in enumerate(NUMBERS)),
    ]
    place = write(tmp_path / "t.csv", rows)
    assert sniff(place, "state").settings.header
    assert draft_contract(place, label="state").contract.label is not None


@pytest.mark.parametrize("mark", [";", "\t"])
def test_the_separator_line_decides(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "t.csv"
    rows = "".join(f"{i},5{mark}{i}\n" for i in range(30))
    path.write_text(f"sep={mark}\na,x{mark}b\n{rows}")
    draft = draft_contract(path)
    assert [c.name for c in draft.contract.columns] == ["a,x", "b"]


def test_single_quotes_are_found_and_written_into_the_draft(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = "".join(f"'{i / 7:.3f}','it, or {'ab'[i % 2]}'\n" for i in range(30))
    path.write_text(f"'p','note'\n{rows}")
    draft = draft_contract(path)
    assert [c.name for c in draft.contract.columns] == ["p", "note"]
    assert draft.contract.columns[1].vocabulary == ("it, or a", "it, or b")


def test_bytes_further_down_decide_about_the_encoding(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = "".join(f"{i / 7:.3f},Rom\n" for i in range(120_000))
    path.write_bytes(b"a,city\n" + rows.encode() + "1.5,Köln\n".encode("cp1252"))
    draft = draft_contract(path)
    assert "Köln" in draft.contract.columns[1].vocabulary
    assert any("not UTF-8" in remark for remark in draft.remarks)
