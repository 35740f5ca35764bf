"""The shadow of a server: what it finds is written down, what fails in it is its own."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.common.settings import Settings
from flows.promotion.version import shadows
from flows.shadow.worker import QUEUED, ShadowWorker
from flows.tracking import tracking
from tests.flows.shadow.conftest import table
from tests.flows.shadow.test_agreement import plain
from tests.waiting import until


@pytest.fixture
def store(home):
    settings = Settings()
    return settings, tracking.connect(settings)


def offer(worker, version, rows=50, seed=9) -> None:
    frame = plain(table(rows, seed))
    worker.offer(version, lambda: frame, version.score(frame)[1].energy)


def runs(client) -> list:
    experiment = client.get_experiment_by_name(shadows.SHADOWS)
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))


def test_what_was_found_is_a_run_with_a_page(store, first, candidate):
    settings, client = store
    worker = ShadowWorker(client, settings, lambda: candidate)
    worker.start()
    for seed in range(3):
        offer(worker, first, seed=seed)
    worker.stop(60)
    (run,) = runs(client)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["rows"] == 150
    actual = worker.sitting.agreement
    assert run.data.metrics["disagreements"] == actual.only_first + actual.only_second
    assert run.data.tags["dagmm.candidate"] == "2"
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert json.loads((folder / "agreement.json").read_text())["rows"] == 150
    page = (folder / "shadow.html").read_text()
    assert "models:/dagmm-small/2 in the shadow of models:/dagmm-small/1" in page
    assert "<script" not in page


def test_another_pair_is_another_run(store, first, candidate):
    settings, client = store
    now = [candidate]
    worker = ShadowWorker(client, settings, lambda: now[0], write_seconds=0.05)
    worker.start()
    offer(worker, first)
    until(lambda: worker.sitting is not None and worker.sitting.run_id)
    now[0] = replace(candidate, number=3, sealed="seal3")
    offer(worker, first)
    until(lambda: worker.sitting.candidate.number == 3)
    now[0] = replace(candidate, number=3, sealed="seal4")  # the model was deleted, and made anew
    offer(worker, first)
    until(lambda: worker.sitting.candidate.sealed == "seal4")
    now[0] = None
    offer(worker, first)
    now[0] = first  # the candidate was promoted: there is nothing to compare
    offer(worker, first)
    worker.stop(60)
    actual = [
        (run.data.tags["dagmm.candidate"], run.data.metrics["rows"], run.info.status)
        for run in runs(client)
    ]
    assert sorted(actual) == [(number, 50, "FINISHED") for number in ("2", "3", "3")]
    assert not worker.failures


def test_a_run_is_closed_whenever_it_is_written(store, first, candidate):
    """Else one of a server that is killed would stay open."""
    settings, client = store
    worker = ShadowWorker(client, settings, lambda: candidate, write_seconds=0.05)
    worker.start()
    for seed in range(2):
        offer(worker, first, seed=seed)
        until(lambda seed=seed: worker.sitting is not None and worker.sitting.written > 50 * seed)
        (run,) = runs(client)
        assert (run.info.status, run.data.metrics["rows"]) == ("FINISHED", 50 * (seed + 1))
    worker.stop(60)


def test_rows_that_find_no_room_are_counted_and_forgotten(store, first, candidate):
    settings, client = store
    free = threading.Event()

    def slow():
        free.wait(60)
        return candidate

    worker = ShadowWorker(client, settings, slow)
    worker.start()
    started = time.perf_counter()
    rows, energy = plain(table(10, 1)), np.zeros(10)
    for _ in range(QUEUED + 5):
        worker.offer(first, lambda: rows, energy)
    assert time.perf_counter() - started < 30  # it did not wait for the candidate
    assert worker.dropped in (40, 50)  # one may be at work already
    free.set()
    worker.stop(60)
    assert worker.sitting.agreement.rows == 10 * (QUEUED + 5) - worker.dropped


def test_a_failing_candidate_or_store_is_counted_and_no_more(store, first, candidate, capsys):
    settings, client = store

    def broken():
        raise OSError("the candidate's file is gone")

    worker = ShadowWorker(client, settings, broken)
    worker.start()
    offer(worker, first)
    worker.stop(60)
    assert (worker.failures, worker.failure) == (1, "the candidate's file is gone")
    assert "the shadow: the candidate's file is gone" in capsys.readouterr().err

    kept = (settings.home / "mlflow.db").read_bytes()
    (settings.home / "mlflow.db").write_bytes(b"no database " * 1000)
    worker = ShadowWorker(client, settings, lambda: candidate)
    worker.start()
    offer(worker, first)
    worker.stop(60)
    assert worker.failures == 1
    assert worker.sitting.agreement.rows == 50
    (settings.home / "mlflow.db").write_bytes(kept)
