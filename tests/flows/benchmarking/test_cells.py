"""The file of cells: it grows, survives a cut, and never mixes what was measured differently."""

import json

import pytest

from flows.benchmarking.cells import Cell, append_cells, current, done, read_cells


def _cell(**values):
    start = {"dataset": "wdbc", "protocol": "paper", "grouped": False, "seed": 0, "detector": "pca"}
    return Cell(**start | {"f1": 0.5, "settings_sha256": "s", "data_sha256": "d"} | values)


def test_cells_come_back_as_they_were(tmp_path):
    cells = [_cell(), _cell(seed=1, f1=None, reason="diverged"), _cell(remarks={"epochs": 3})]
    path = tmp_path / "new" / "cells.jsonl"
    append_cells(path, cells[:1])
    append_cells(path, cells[1:])
    assert read_cells(path) == cells
    assert read_cells(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("kept", range(1, 40, 7))
def test_a_line_cut_short_costs_only_itself(tmp_path, kept):
    path = tmp_path / "cells.jsonl"
    append_cells(path, [_cell(), _cell(seed=1)])
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"\n") + 1 + kept])
    append_cells(path, [_cell(seed=2)])
    assert [cell.seed for cell in read_cells(path)] == [0, 2]


def test_a_key_of_a_later_version_is_passed_over_and_a_value_of_no_use_is_named(tmp_path):
    path = tmp_path / "cells.jsonl"
    append_cells(path, [_cell(remarks={"components": 1.5})])
    line = json.loads(path.read_text())
    path.write_text(json.dumps(line | {"later": 1}) + "\n")
    assert read_cells(path) == [_cell(remarks={"components": 1.5})]
    path.write_text(json.dumps(line | {"ap": "much"}) + "\n")
    with pytest.raises(ValueError, match=r"(?s)ap.*valid number"):
        read_cells(path)


def test_settings_or_data_that_changed_replace_the_old_cells_of_their_row_only():
    old = [_cell(seed=seed) for seed in range(5)]
    other = _cell(detector="knn")
    new = [_cell(seed=0, settings_sha256="changed"), _cell(seed=1, settings_sha256="changed")]
    assert current([*old, other, *new]) == [*new, other]
    moved = _cell(seed=4, data_sha256="changed")
    assert current([*old, other, moved]) == [moved, other]


def test_what_was_measured_before_is_shown_again_only_once_it_is_measured_again():
    old, new = [_cell(), _cell(seed=1)], _cell(settings_sha256="changed")
    assert current([*old, new, _cell(seed=1)]) == old
    assert current([*old, new]) == [new], "cells of another version fill no gaps"


def test_a_failed_cell_is_tried_again_and_its_success_counts():
    failed, good = _cell(f1=None, reason="killed"), _cell()
    assert done([failed]) == set()
    assert done([failed, good]) == {good.key}
    assert current([failed, good]) == [good]


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "x"},
        {"protocol": "deployment"},
        {"grouped": True},
        {"seed": 1},
        {"detector": "knn"},
        {"settings_sha256": "x"},
        {"data_sha256": "x"},
        {"format": 0},
    ],
)
def test_everything_that_decides_a_cell_is_in_its_key(change):
    assert _cell(**change).key not in done([_cell()])
