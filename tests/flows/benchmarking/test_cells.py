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


def test_lines_from_before_the_catalogue_are_read_under_todays_names(tmp_path):
    path = tmp_path / "cells.jsonl"
    old = {"dataset": "thyroid", "protocol": "paper", "grouped": False, "seed": 3, "f1": 0.5}
    old |= {"roc_auc": 0.9, "ap": 0.4, "seconds": 2.0, "components": 1.5}
    names = ("recommended", "paper, reconstruction error", "isolation_forest", "best column")
    path.write_text("".join(json.dumps(old | {"detector": name}) + "\n" for name in names))
    cells = read_cells(path)
    assert [cell.detector for cell in cells] == [
        "dagmm",
        "dagmm:paper, reconstruction error",
        "isolation-forest",
        "best column",
    ]
    assert cells[0].remarks == {"components": 1.5}
    assert (cells[0].f1, cells[0].ap, cells[0].seconds) == (0.5, 0.4, 2.0)


def test_settings_or_data_that_changed_replace_the_old_cells_of_their_row_only():
    old = [_cell(seed=seed) for seed in range(5)]
    other = _cell(detector="knn")
    new = [_cell(seed=0, settings_sha256="changed"), _cell(seed=1, settings_sha256="changed")]
    assert current([*old, other, *new]) == [*new, other]
    moved = _cell(seed=4, data_sha256="changed")
    assert current([*old, other, moved]) == [moved, other]


def test_cells_without_digests_count_where_they_agree_with_newer_ones():
    plain = {"settings_sha256": "", "data_sha256": ""}
    old = [_cell(seed=seed, **plain) for seed in range(5)]
    assert current([*old, _cell(seed=1)]) == [old[0], _cell(seed=1), *old[2:]]
    assert current([*old, _cell(seed=1, f1=0.4)]) == [_cell(seed=1, f1=0.4)]
    assert current([*old, _cell(seed=7)]) == [_cell(seed=7)], "no split in common proves nothing"
    assert current([_cell(seed=1), *old]) == [old[0], _cell(seed=1), *old[2:]]
    assert current(old) == old


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
