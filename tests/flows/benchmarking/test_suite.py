"""Tables in ADBench's form: what is accepted, how they are split, and a suite from end to end."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from dagmm_model.evaluation.published import read_published
from flows.benchmarking.cells import Cell, read_cells
from flows.benchmarking.config import build_benchmark, planned
from flows.benchmarking.entrants import Row
from flows.benchmarking.protocols import PROTOCOLS, Limits
from flows.benchmarking.results.league import standings, trainings
from flows.benchmarking.results.summary import blocks
from flows.benchmarking.results.tables import overview
from flows.benchmarking.results.text import results_markdown
from flows.benchmarking.suite import MOST_ROWS, plain_name, prepare_table, tables_of
from flows.benchmarking.work import Job, measure_cell
from flows.common.errors import UsageError

LIMITS = Limits(MOST_ROWS)


def _table(folder: Path, name: str, normals=60, anomalies=9, columns=4, kind=np.float64) -> Path:
    """Rows in Fortran order, as ADBench's files have them, the first column constant."""
    rng = np.random.default_rng(len(name))
    rows = rng.normal(size=(normals + anomalies, columns))
    labels = np.arange(len(rows)) % (len(rows) // anomalies) == 0
    rows[labels] += 3
    rows[:, 0] = 7
    file = folder / f"{name}.npz"
    np.savez_compressed(file, X=np.asfortranarray((10 * rows).astype(kind)), y=labels.astype(int))
    return file


@pytest.fixture(scope="session")
def adbench() -> Path:
    """Folder with tables of ADBench."""
    folder = Path(os.environ.get("DAGMM_DATA_DIR", ""), "adbench")
    if not (folder / "38_thyroid.npz").exists():
        pytest.skip("DAGMM_DATA_DIR does not hold adbench/, tables of ADBench")
    return folder


@pytest.mark.parametrize(
    ("table", "seeds"),
    [
        *((name, (0,)) for name in ("2_annthyroid", "12_fault", "20_letter", "38_thyroid")),
        *((name, PROTOCOLS["dte"].first_seeds) for name in ("14_glass", "29_Pima", "39_vertebral")),
    ],
)
def test_the_protocol_gives_the_published_figures_of_nearest_neighbours(
    adbench, tmp_path, table, seeds
):
    """To the last digit, and on tables that are drawn with the draws behind the publication."""
    data = prepare_table(adbench / f"{table}.npz", tmp_path, LIMITS)
    jobs = [Job(data, "dte", False, seed, Row("knn", "adbench"), "") for seed in seeds]
    cells = [measure_cell(job)[0] for job in jobs]
    published = read_published()[plain_name(table)]["KNN"]
    for figure in ("roc_auc", "ap"):
        mean = np.mean([getattr(cell, figure) for cell in cells])
        assert round(100 * mean, 2) == pytest.approx(100 * published[figure], abs=1e-9), figure


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.uint8, bool])
def test_a_table_comes_out_as_it_went_in(tmp_path, kind):
    file = _table(tmp_path, "3_made", kind=kind)
    data = prepare_table(file, tmp_path, LIMITS)
    with np.load(file) as actual:
        assert np.array_equal(data.matrix(), actual["X"])
        assert np.array_equal(data.labels(), actual["y"] == 1)
    accepted = data.take(np.array([3, 3, 0]))
    assert np.issubdtype(accepted.dtype, np.floating)
    assert accepted.flags["C_CONTIGUOUS"]
    assert data == prepare_table(file, tmp_path, LIMITS)
    assert {f.name for f in data.folder.iterdir()} == {"done", "labels.npy", "lock", "rows.npy"}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.ones((4, 2))}, "no array y"),
        ({"X": np.ones((4, 2)), "y": [0, 1, 2, 0]}, "y holds"),
        ({"X": np.ones((4, 2)), "y": [0, 0, 0, 0]}, "one class only"),
        ({"X": np.ones((4, 2)), "y": [0, 1, 0]}, "4 rows in X and 3 labels"),
        ({"X": np.ones(4), "y": [0, 1, 0, 0]}, r"X is float64 \(4,\)"),
        ({"X": [["a"], ["b"]], "y": [0, 1]}, "rows of real numbers"),
        ({"X": [[1.0, 2.0], [1.0, np.nan]], "y": [0, 1]}, "nan in row 1, column 1"),
        ({"X": np.array([[{}]] * 2, dtype=object), "y": [0, 1]}, "array X cannot be read"),
    ],
)
def test_what_is_no_table_is_said_with_the_place(tmp_path, arrays, message):
    np.savez(tmp_path / "odd.npz", **arrays)
    with pytest.raises(UsageError, match=message) as answer:
        prepare_table(tmp_path / "odd.npz", tmp_path, LIMITS)
    assert "odd.npz" in str(answer.value)


def test_tables_are_named_with_or_without_their_number(tmp_path):
    for name in ("2_Glass", "10_wine", "own"):
        _table(tmp_path, name)
    files = tables_of(str(tmp_path), (), tmp_path / "none")
    assert [file.stem for file in files] == ["10_wine", "2_Glass", "own"]
    chosen = tables_of(tmp_path.name, ("glass", "Own", "2_Glass"), tmp_path.parent)
    assert [file.stem for file in chosen] == ["2_Glass", "own"]
    with pytest.raises(UsageError, match=r"no such table .*10_wine, 2_Glass, own"):
        tables_of(str(tmp_path), ("glas",), tmp_path)


def test_small_tables_are_drawn_up_and_large_ones_down(tmp_path):
    small = prepare_table(_table(tmp_path, "small"), tmp_path, LIMITS)
    split = small.split("dte", 0, grouped=False)
    assert len(split.train) + len(split.test) == 1000
    plain = small.split("dte-plain", 0, grouped=False)
    assert sorted([*plain.train, *plain.test]) == list(range(small.rows))
    limited = prepare_table(tmp_path / "small.npz", tmp_path, Limits(50, train=12))
    assert limited.size == 50 * 4
    halves = limited.split("halves", 0, grouped=False)
    assert len(halves.train) == 12
    parts = [*halves.train, *halves.test, *halves.set_aside]
    assert len(set(parts)) == len(parts) == 50
    # A limit is part of what a cell is, but only where the protocol looks at it.
    other = prepare_table(tmp_path / "small.npz", tmp_path, Limits(50, train=13))
    assert other.digest_for("dte") == limited.digest_for("dte") != small.digest_for("dte")
    assert other.digest_for("halves") != limited.digest_for("halves")


def test_the_plain_split_is_measured_where_it_differs(tmp_path):
    tables = [
        prepare_table(_table(tmp_path, name, normals=n), tmp_path, LIMITS)
        for name, n in (("small", 60), ("large", 1200))
    ]
    config = build_benchmark(suite="made", detectors=["knn"])
    jobs = planned(config, tables)
    places = {(j.protocol, j.data.dataset) for j in jobs}
    assert places == {
        ("dte", "small"), ("dte", "large"), ("dte-plain", "small"),
        ("halves", "small"), ("halves", "large"),
    }  # fmt: skip
    seeds = [j.seed for j in jobs if (j.protocol, j.data) == ("dte", tables[1])]
    assert seeds == PROTOCOLS["dte"].first_seeds


def _cells(detector: str, figures: dict[str, list[float]]) -> list[Cell]:
    return [
        Cell(d, "dte", False, seed, detector, f1=v, roc_auc=v, ap=v / 2)
        for d, values in figures.items()
        for seed, v in enumerate(values)
    ]


def test_ours_are_ranked_among_the_published_over_the_tables_that_have_these():
    published = {
        "glass": {"A": {"roc_auc": 0.9, "ap": 0.1}, "B": {"ap": 0.3}},
        "wine": {"A": {"roc_auc": 0.5, "ap": 0.5}, "B": {"ap": 0.4}},
    }
    cells = _cells("dagmm", {"2_glass": [0.7, 0.9], "10_wine": [0.9], "unseen": [0.1]})
    cells += _cells("dagmm, untrained", {"2_glass": [0.7], "10_wine": [0.9], "unseen": [0.2]})
    cells += _cells("knn", {"2_glass": [0.95], "10_wine": [0.95], "unseen": [0.9]})
    actual = blocks(cells, published)
    assert [block.main for block in actual] == ["roc_auc", "ap"]
    lines = {s.detector: s for s in standings(actual)}
    assert [s.detector for s in standings(actual)][-1] == "dagmm, untrained"
    assert {s.tables for s in lines.values()} == {2}
    assert lines["knn"].ranks == {"roc_auc": 1.0, "ap": 1.5}
    assert lines["dagmm"].means == pytest.approx({"roc_auc": 0.85, "ap": 0.425})
    assert lines["dagmm"].ranks["roc_auc"] == pytest.approx((3 + 2) / 2)
    assert lines["A (published)"].means == pytest.approx({"roc_auc": 0.7, "ap": 0.3})
    assert lines["A (published)"].published
    assert set(lines["B (published)"].means) == {"ap"}  # of a figure that was not published
    assert lines["dagmm, untrained"].ranks == {}
    # Training is judged on all tables, published or not.
    (roc_auc, _) = trainings(actual)
    assert (roc_auc.tables, roc_auc.better, roc_auc.worse) == (3, 1, 1)
    assert roc_auc.trained - roc_auc.untrained == pytest.approx((0.1 + 0 - 0.1) / 3)
    table = {row[0]: row for row in overview(actual[0]).rows}
    assert table["A (published)"][3:] == ("0.500", "0.900", "–")
    assert all("published" not in fact["detector"] for fact in actual[0].facts())
    assert "A (published)" in results_markdown(actual, [], [])


def test_published_figures_are_read_with_their_gaps(tmp_path):
    packaged = read_published()
    assert {len(methods) for methods in packaged.values()} == {26}
    assert packaged["letter"]["KNN"] == {"roc_auc": 0.3543, "ap": 0.087}
    own = tmp_path / "published.csv"
    own.write_text("table,method,auroc,ap\nmade,ICL,,59.9\n")
    assert read_published(own) == {"made": {"ICL": {"ap": 0.599}}}
    own.write_text("table,method,auroc,ap\nmade,ICL,x,59.9\n")
    with pytest.raises(ValueError, match="line 2"):
        read_published(own)


@threadpool_limits.wrap(limits=1)  # one worker: the cells are quicker than the start of another
def test_a_suite_from_the_command_to_the_page_and_nothing_twice(dagmm, tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    for name in ("2_glass", "own"):
        _table(folder, name)
    with (folder / "published.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["table", "method", "auroc", "ap"], ["own", "X", 10, 20]])
    command = ("benchmark", "--suite", folder, "--detectors", "pca", "knn", "--seeds", "2")
    first = dagmm(*command, "--json")
    assert first.code == 0, first.err
    assert first.json["planned"] == first.json["measured"] == 2 * 2 * 2 * 3
    cells = read_cells(Path(first.json["output"]) / "cells.jsonl")
    assert {cell.dataset for cell in cells} == {"2_glass", "own"}
    assert {cell.protocol for cell in cells} == {"dte", "dte-plain", "halves"}
    ranked = [s for s in first.json["standings"] if s["protocol"] == "dte"]
    assert {s["detector"] for s in ranked} == {"pca", "knn", "X (published)"}
    page = Path(first.json["page"]).read_text()
    assert "X (published)" in page
    again = dagmm(*command, "--json")
    assert (again.json["measured"], again.json["known_before"]) == (0, first.json["planned"])
    fewer = dagmm(*command, "--train-rows", "10", "--protocols", "halves", "dte", "--json")
    assert (fewer.json["measured"], fewer.json["known_before"]) == (8, 8)
    assert json.dumps(fewer.json["standings"]) != json.dumps(first.json["standings"])
