"""Processes beside the server: they answer as it would itself, and no request notices their end."""

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event, Thread, get_ident
from unittest import mock

import numpy as np
import pytest

from dagmm_model.base.processors import blas_threads, processors
from flows.api.answers import Asked, answer
from flows.api.loading import load_verified
from flows.api.refusals import Refused
from flows.api.workers import Workers, _Process, scoring
from flows.tracking import registry
from tests.flows.api.conftest import NAME, beside, make_shared, split
from tests.waiting import until

FULL = Asked("application/json", 1000, in_full=True, explain="all", top=3)


def version(api, number: int):
    return registry.find_version(api.client, NAME, number)


class NotThere(Exception):
    """The server's own thread was to answer."""


class NotReadable(str):
    """Text with which reading a request fails as a file does, or a pipe."""

    __slots__ = ()

    def lower(self) -> str:
        raise OSError("no space left on device")


@pytest.fixture(scope="module")
def api(store_with_two_versions):
    return make_shared(store_with_two_versions)


@pytest.fixture(scope="module")
def body(api):
    canary = api.canary(2)
    return split(canary["columns"], canary["data"])


@pytest.fixture
def workers():
    with scoring(1) as workers:
        yield workers


def by_the_process(workers: Workers, model, body, asked=FULL):
    """The answer of the process, once it scores by that version."""

    def answer() -> tuple | None:
        with suppress(NotThere):
            return workers.work(model, asked, body, start=True)
        return None

    with mock.patch("flows.api.workers.answer", side_effect=NotThere):
        return until(answer)


def test_requests_are_scored_on_as_many_threads_as_there_are_processors():
    available = len(os.sched_getaffinity(0))
    together = Barrier(available, timeout=60)

    def which(*_: object) -> int:
        assert processors() == 1, "each of them has one thread of the BLAS library"
        together.wait()
        return get_ident()

    async def many(workers: Workers) -> list:
        return await asyncio.gather(
            *(workers.answer(None, FULL, b"") for _ in range(8 * available))
        )

    with (
        blas_threads().limit(limits=available),
        scoring(0) as workers,
        mock.patch("flows.api.workers.answer", side_effect=which),
    ):
        assert len(set(asyncio.run(many(workers)))) == available
        assert workers.running == 0


def test_a_process_answers_as_the_server_itself_each_version_in_its_turn(api, body, workers):
    first, second = (load_verified(api.client, version(api, number)) for number in (1, 2))
    for model in (second, first, second):
        for asked in (FULL, replace(FULL, in_full=False, explain="none")):
            message, scores = by_the_process(workers, model, body, asked)
            expected, own = answer(model, asked, body)
            assert message == expected
            for name in ("energy", "p_value", "is_anomaly"):
                np.testing.assert_array_equal(getattr(scores, name), getattr(own, name))
    canary = api.canary(2)
    bad = split(canary["columns"], [["many", *row[1:]] for row in canary["data"]])
    with pytest.raises(Refused) as there:
        by_the_process(workers, second, bad)
    with pytest.raises(Refused) as here:
        answer(second, FULL, bad)
    assert there.value.body() == here.value.body()
    assert there.value.causes == here.value.causes
    assert (workers.running, workers.lost) == (1, 0)


def test_a_process_that_is_killed_loses_no_request_and_is_replaced(api, body, workers):
    model = api.follower.current
    expected = by_the_process(workers, model, body)[0]
    (process,) = beside()
    process.kill()
    assert workers.work(model, FULL, body, start=False)[0] == expected
    assert (workers.running, workers.lost) == (0, 1)
    assert by_the_process(workers, model, body)[0] == expected
    assert (workers.running, workers.lost) == (1, 1)


def test_a_process_in_which_a_version_gives_other_energies_does_not_score(
    api, body, workers, capfd
):
    model = api.follower.current
    other = replace(model, sealed="another", recorded=model.recorded + 1.0)

    said: list[str] = []

    def refused() -> str:
        with pytest.raises(NotThere):
            workers.work(other, FULL, body, start=True)
        said.append(capfd.readouterr().err)
        return "".join(said)

    with mock.patch("flows.api.workers.answer", side_effect=NotThere):
        until(lambda: "NotAsRecorded" in refused())
        for _ in range(3):
            refused()
    assert by_the_process(workers, model, body)[0] == answer(model, FULL, body)[0]
    assert workers.lost == 0


def test_an_error_of_scoring_is_the_callers_and_no_process_is_lost_by_it(
    api, body, workers, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))  # it unpickles NotReadable
    model = api.follower.current
    expected = by_the_process(workers, model, body)[0]
    process = beside()
    with pytest.raises(OSError, match="no space left on device"):
        by_the_process(workers, model, body, replace(FULL, content_type=NotReadable("text/csv")))
    assert by_the_process(workers, model, body)[0] == expected
    assert (beside(), workers.lost) == (process, 0)


def test_after_the_end_what_waits_is_refused_and_not_scored(api, body):
    """In a process that is killed, and for a thread."""
    model, sent, results = api.follower.current, Event(), []
    send = _Process.answer

    def answer_there(process: _Process, asked: Asked, body: bytes):
        sent.set()
        return send(process, asked, body)

    async def two(workers: Workers) -> list:
        asks = (workers.answer(model, FULL, body) for _ in range(2))
        return await asyncio.gather(*asks, return_exceptions=True)

    with mock.patch("flows.api.workers.processors", return_value=1):  # one thread
        workers = Workers(1)
    with mock.patch("flows.api.workers.answer", side_effect=NotThere):
        until(lambda: not any(isinstance(e, NotThere) for e in asyncio.run(two(workers))))
    (process,) = beside()
    process.suspend()  # it takes a request, and does not answer
    with (
        mock.patch.object(_Process, "answer", autospec=True, side_effect=answer_there),
        mock.patch("flows.api.workers.answer", side_effect=NotThere),
    ):
        asking = Thread(target=lambda: results.extend(asyncio.run(two(workers))))
        asking.start()
        assert sent.wait(60)
        workers.end()
        asking.join()
    killed, waiting = results
    assert isinstance(killed, Refused)
    assert (killed.status, killed.why) == (503, "ending")
    assert isinstance(waiting, asyncio.CancelledError)  # which `app` answers with the same
    assert (beside(), workers.lost) == ([], 0)


def test_a_process_that_is_being_started_at_the_end_is_ended_too(api, body):
    workers = Workers(1)
    ending = Thread(target=workers.end)

    def started_meanwhile() -> _Process:
        ending.start()
        ending.join(timeout=0.5)  # it has to wait for the start
        return _Process()

    with (
        mock.patch("flows.api.workers._Process", side_effect=started_meanwhile),
        suppress(Refused),  # where the end comes between the start and the answer
    ):
        workers.work(api.follower.current, FULL, body, start=True)
    ending.join()
    assert beside() == []
    with pytest.raises(Refused, match="the server ends"):
        workers.work(api.follower.current, FULL, body, start=True)
