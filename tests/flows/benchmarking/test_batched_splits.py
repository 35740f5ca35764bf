"""Splits trained together have the figures of splits measured one by one."""

from dataclasses import replace

import numpy as np
import pytest

from dagmm_model.engines import choice
from dagmm_model.engines.choice import Device
from flows.benchmarking.batched_splits import batches, measure_together
from flows.benchmarking.data import Prepared
from flows.benchmarking.entrants import Row
from flows.benchmarking.work import Job, measure_cell


@pytest.fixture
def jobs(tmp_path):
    """Two splits of a small table."""
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 10 == 0
    rows = rng.normal(size=(300, 4)) + 2.0 * labels[:, None]
    for name, array in (("rows", rows), ("labels", labels), ("groups", np.arange(300))):
        np.save(tmp_path / f"{name}.npy", array)
    data = Prepared("made", tmp_path, *rows.shape, (0.6, 0.2, 0.2), "digest")
    return [Job(data, "paper", False, seed, Row("dagmm"), "settings") for seed in range(2)]


def test_they_have_the_figures_of_single_ones(jobs):
    together = dict(measure_together(jobs))
    assert list(together) == jobs
    for job, cells in together.items():
        alone = measure_cell(job)
        assert [cell.split for cell in cells] == [cell.split for cell in alone]
        for ours, theirs in zip(cells, alone, strict=True):
            assert not ours.reason
            assert ours.f1 == pytest.approx(theirs.f1, abs=0.1)
            assert ours.roc_auc == pytest.approx(theirs.roc_auc, abs=0.02)
            assert ours.remarks.get("epochs") == theirs.remarks.get("epochs")


def test_one_that_fails_fails_alone(jobs):
    broken = replace(jobs[1], row=Row("dagmm", "no-such-preset"))
    for job, cells in measure_together([jobs[0], broken]):
        assert bool(cells[0].reason) == (job is broken)


def test_a_cpu_has_a_process_for_each(jobs):
    assert batches(jobs) == []


def test_a_gpu_takes_what_is_alike(jobs, monkeypatch):
    monkeypatch.setattr(choice, "device_for", lambda *given: Device("cuda", "a test"))
    other = [replace(job, row=Row("pca")) for job in jobs]
    untrained = [replace(job, row=Row("dagmm", variant="untrained")) for job in jobs]
    paper = replace(jobs[0], row=Row("dagmm", "paper"))
    assert batches([*jobs, *other, *untrained, paper]) == [jobs]
