"""Workers, order and budget, with real processes; figures of a cell against scikit-learn."""

import itertools
import math
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from dagmm_model.detectors.catalogue import make_detector
from dagmm_model.scoring import neighbours, views
from dagmm_model.tables.protocols import duplicate_groups
from flows.benchmarking import pool
from flows.benchmarking.cells import current, read_cells
from flows.benchmarking.data import Prepared
from flows.benchmarking.entrants import Row, rows_named, sanity_rows
from flows.benchmarking.pool import balanced_order, processes_for, work_off
from flows.benchmarking.protocols import PROTOCOLS
from flows.benchmarking.work import Job, best_column, cell_figures, measure_cell
from tests.flows.benchmarking import workers


@pytest.fixture
def data(tmp_path):
    """Two columns, one of which tells the anomalies apart; every row occurs twice."""
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(150) % 10 == 0, 2)
    rows = np.tile(rng.normal(size=(150, 2)), (2, 1))
    rows[labels, 1] -= 3
    for name, array in (("rows", rows), ("labels", labels), ("groups", duplicate_groups(rows))):
        np.save(tmp_path / f"{name}.npy", array)
    return Prepared("made", tmp_path, *rows.shape, (0.6, 0.2, 0.2), "digest")


def _job(data, seed=0, name="mahalanobis", protocol="paper", grouped=False):
    return Job(data, protocol, grouped, seed, Row(name), "settings")


def test_a_killed_worker_fails_its_own_cell_and_the_rest_goes_on(data):
    jobs = [_job(data, seed) for seed in range(4)]
    actual = dict(work_off(jobs, 2, math.inf, workers.die_for_seed_1))
    assert list(actual) != []
    reasons = {job.seed: cells[0].reason for job, cells in actual.items()}
    assert "killed" in reasons.pop(1)
    assert reasons == {0: "", 2: "", 3: ""}
    # A result does not depend on the process it was found in.
    for job, cells in actual.items():
        if job.seed != 1:
            here = measure_cell(job)[0]
            assert (cells[0].f1, cells[0].roc_auc, cells[0].key) == (here.f1, here.roc_auc, job.key)


def test_after_the_deadline_nothing_is_started_and_what_was_started_is_finished(data, monkeypatch):
    jobs = [_job(data, seed) for seed in range(50)]
    assert list(work_off(jobs, 1, time.monotonic() - 1)) == []
    clock = iter([0.0])  # of the first job's start; it ends past the deadline
    monkeypatch.setattr(pool, "time", SimpleNamespace(monotonic=lambda: next(clock, 2.0)))
    finished = list(work_off(jobs, 1, 1.0, workers.done))
    assert [job.seed for job, _ in finished] == [0]


@pytest.mark.slow
def test_who_stops_listening_ends_the_workers(data):
    results = work_off([_job(data, seed) for seed in range(3)], 1, math.inf, workers.endless)
    next(results)
    children = psutil.Process().children()
    running = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    assert running
    results.close()
    _, alive = psutil.wait_procs(running, timeout=300)
    assert not alive


def test_seeds_come_one_after_another_and_quick_detectors_first(data):
    large = replace(data, dataset="large", rows=10**6)
    jobs = [
        _job(table, seed, name)
        for table in (large, data)
        for name in ("knn", "pca", "lof")
        for seed in (1, 0)
    ]
    timed = [
        _job(data, 5, "knn").cell(seconds=1e-9),
        _job(large, 5, "knn").cell(seconds=1e9),
        _job(large, 5, "pca").cell(seconds=1e3),  # says something of the other table, too
    ]
    ordered = [(j.seed, j.data.dataset, j.row.name) for j in balanced_order(jobs, timed)]
    one = [("made", "knn"), ("made", "lof"), ("large", "lof")]
    one += [("large", "pca"), ("made", "pca"), ("large", "knn")]
    assert ordered == [(seed, *place) for seed in (0, 1) for place in one]


def test_memory_and_work_limit_the_processes(data):
    assert processes_for([_job(data)]) == 1
    huge = replace(data, rows=10**12)
    assert processes_for([_job(huge, seed) for seed in range(64)]) == 1


def test_cells_that_do_not_fit_into_memory_together_run_one_after_another(data, monkeypatch):
    jobs = [_job(data, seed) for seed in range(4)]
    monkeypatch.setattr(pool, "memory_of", lambda job: 0.7 * psutil.virtual_memory().available)
    cells = [cell for _, (cell,) in work_off(jobs, 2, math.inf, workers.noted)]
    spans = sorted((cell.f1, cell.roc_auc) for cell in cells)
    assert len(spans) == 4
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_what_a_detector_refuses_is_the_reason_of_its_cell(data):
    tiny = Job(data, "deployment", False, 0, Row("knn"), "settings")
    labels = np.ones(data.rows, dtype=bool)
    labels[:7] = False
    np.save(data.folder / "labels.npy", labels)
    (cell,) = measure_cell(tiny)
    assert cell.reason.startswith("NotEnoughRowsError")
    assert "give more" in cell.reason
    assert cell.f1 is None


@pytest.mark.parametrize("protocol", ["paper", "deployment"])
@pytest.mark.parametrize("grouped", [False, True])
def test_a_cell_is_the_detector_fitted_and_scored_on_its_split(data, protocol, grouped):
    job = _job(data, 3, protocol=protocol, grouped=grouped)
    (cell,) = measure_cell(job)
    split = data.split(protocol, 3, grouped=grouped)
    rows, labels = data.matrix(), data.labels()
    detector = Row("mahalanobis").unfitted("made", 3).fit(rows[split.train])
    energies, truth = detector.energy(rows[split.test]), labels[split.test]
    assert cell.roc_auc == pytest.approx(roc_auc_score(truth, energies))
    assert cell.ap == pytest.approx(average_precision_score(truth, energies))
    if protocol == "paper":
        threshold = np.sort(energies)[-truth.sum()]
        assert cell.f1 == pytest.approx(f1_score(truth, energies >= threshold))
        assert cell.recall is None
    else:
        held = detector.energy(rows[split.validation])
        flagged = energies > np.sort(held)[math.ceil((len(held) + 1) * 0.95) - 1 : len(held)][0]
        assert cell.f1 == pytest.approx(f1_score(truth, flagged))
        assert cell.recall == pytest.approx(flagged[truth].mean())
        assert cell.false_alarms == pytest.approx(flagged[~truth].mean())
    if grouped:
        groups = np.load(data.folder / "groups.npy")
        assert not set(groups[split.train]) & set(groups[split.test])


def test_energies_that_are_not_finite_have_no_figures():
    with pytest.raises(ValueError, match="not finite"):
        cell_figures(np.array([True, False]), np.array([np.nan, 1.0]), None)


def test_the_best_column_is_found_with_its_direction(data):
    name, energies = best_column(data.labels(), np.asarray(data.matrix()))
    assert name == "column 1"
    assert roc_auc_score(data.labels(), energies) > 0.95


def test_the_reference_has_its_sanity_rows_and_others_have_none(data):
    wide, both = replace(data, columns=30), PROTOCOLS["paper"].judged_by
    # Along principal axes, only random weights say what the architecture alone does.
    fast = Row("dagmm", "recommended-fast")
    assert [row.label for row in sanity_rows(fast, wide, both)] == [
        "dagmm:recommended-fast, untrained",
        "dagmm:recommended-fast, random weights",
    ]
    labels = [row.label for row in sanity_rows(Row("dagmm"), wide, both)]
    assert labels == ["dagmm, untrained"]
    # The paper's network starts from random weights anyway.
    labels = [row.label for row in sanity_rows(Row("dagmm", "paper"), wide, both)]
    assert labels == ["dagmm:paper, untrained"]
    assert sanity_rows(Row("pca"), wide, both) == []
    of_a_suite = sanity_rows(Row("dagmm"), wide, PROTOCOLS["dte"].judged_by)
    assert [row.label for row in of_a_suite] == ["dagmm, untrained"]


def test_the_edition_of_a_preset_for_a_data_set_is_taken_where_there_is_one(data):
    (row,) = rows_named(["dagmm:paper"])
    on = {name: row.settings_on(replace(data, dataset=name)) for name in ("kddcup_rev", "made")}
    assert on["kddcup_rev"].preset == "paper-kddcup-rev"
    assert on["made"].preset == "paper"
    baseline = Row("kernel-pca")
    special = baseline.unfitted("kddcup", 0).settings_
    assert special == make_detector("kernel-pca", "kddcup").settings_
    assert special != baseline.unfitted("made", 0).settings_
    digests = {row.digest_on(replace(data, dataset=name)) for name in ("kddcup_rev", "made")}
    assert len(digests) == 2
    assert row.digest_on(data) != Row("dagmm").digest_on(data)
    with pytest.raises(ValueError, match="unknown preset of pca 'papr'"):
        rows_named(["pca:papr"])


def test_another_weight_of_a_view_is_another_cell(data, monkeypatch):
    rows = [Row("dagmm"), Row("dagmm", "recommended-fast"), Row("knn"), Row("best column")]
    before = [row.digest_on(data) for row in rows]
    monkeypatch.setitem(views.WEIGHTS, "error", 1.0)
    weighted = [row.digest_on(data) for row in rows]
    monkeypatch.undo()
    assert [a == b for a, b in zip(before, weighted, strict=True)] == [False, True, True, True]
    monkeypatch.setattr(neighbours, "MOST", 100)
    assert rows[0].digest_on(data) not in (before[0], weighted[0])
    monkeypatch.undo()
    assert [row.digest_on(data) for row in rows] == before


@pytest.mark.parametrize("variant", ["", "untrained"])
def test_the_committed_cells_of_the_default_are_those_of_todays_default(data, variant):
    """Otherwise its published figures are of another detector, and must be measured again."""
    folder = Path(__file__).parents[3] / "docs" / "results"
    row = Row("dagmm", variant=variant)
    cells = current(read_cells(folder / "cells.jsonl"))
    (digest,) = {
        cell.settings_sha256
        for cell in cells
        if (cell.dataset, cell.protocol, cell.detector) == ("wdbc", "paper", row.label)
    }
    shape = replace(data, dataset="wdbc", rows=569, columns=30)
    assert row.digest_on(shape) == digest
