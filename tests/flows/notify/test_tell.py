"""Once each, within a short time, whatever happens to the targets, the file or the process."""

import os
import signal
import stat
import threading
import time
from dataclasses import replace

import pytest

from flows.notify import tell as room
from flows.notify.memory import TELLING_SECONDS, Memory
from flows.notify.tell import tell
from tests.flows.forked import processes
from tests.flows.notify.conftest import SECRET


@pytest.fixture
def clock(monkeypatch):
    """Time that passes when a test says so."""
    now = [1.8e9]
    monkeypatch.setattr(room.time, "time", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


def test_the_same_is_told_once_and_then_with_how_often(configure, http, drift, clock):
    settings = configure(("webhook", http.url), cool_down_hours=6)
    for _ in range(4):
        tell(settings, drift)
    assert len(http.requests) == 1
    clock(7 * 3600)
    tell(settings, drift)
    assert [("3 times before" in body["message"]) for body in http.bodies] == [False, True]
    clock(7 * 3600)
    tell(settings, drift)
    assert "times before" not in http.bodies[-1]["message"]


def test_other_news_of_the_same_model_is_told_at_once(configure, http, drift, clock):
    settings = configure(("webhook", http.url))
    for event in (drift, replace(drift, same="a warning"), replace(drift, subject="another")):
        tell(settings, event)
    assert len(http.requests) == 3


def test_a_target_gets_the_events_that_it_wants(configure, http, smtp, drift):
    settings = configure(
        ("webhook", http.url, {"events": ["promoted"]}), ("email", smtp.url, {"events": ["drift"]})
    )
    tell(settings, drift)
    assert (len(http.requests), len(smtp.letters)) == (0, 1)


def test_a_target_that_is_down_fails_nothing_and_is_told_later(
    configure, http, smtp, drift, clock, capfd
):
    settings = configure(("webhook", http.url), ("email", smtp.url))
    http.answer = 503
    tell(settings, drift)
    assert len(smtp.letters) == 1
    message = capfd.readouterr().err
    assert "webhook0 was not told" in message
    assert SECRET not in message
    http.answer = 200
    tell(settings, replace(drift, subject="another"))
    assert [body["subject"] for body in http.bodies[1:]] == ["dagmm-pumps", "another"]
    assert len(smtp.letters) == 2
    tell(settings, drift)
    assert len(http.requests) == 3, "it was told, if late"


def test_what_waits_for_more_than_a_day_is_no_news(configure, http, drift, clock):
    settings = configure(("webhook", http.url))
    http.answer = 503
    tell(settings, drift)
    http.answer = 200
    clock(25 * 3600)
    tell(settings, replace(drift, subject="another"))
    assert [body["subject"] for body in http.bodies[1:]] == ["another"]


def test_what_waits_is_no_news_after_a_day_however_often_it_was_tried(
    configure, http, drift, clock
):
    settings = configure(("webhook", http.url), cool_down_hours=0)
    http.answer = 503
    tell(settings, drift)
    for hour in range(3):
        clock(9 * 3600)
        tell(settings, replace(drift, subject=f"hour {hour}"))
    http.answer, http.requests[:] = 200, []
    clock(TELLING_SECONDS)
    tell(settings, replace(drift, subject="now"))
    assert {body["subject"] for body in http.bodies} == {"hour 0", "hour 1", "hour 2", "now"}


def test_where_nothing_can_be_written_it_is_told_all_the_same(configure, http, drift, capfd):
    settings = configure(("webhook", http.url))
    (settings.home / "notify.json").mkdir()  # as a full disk or a read-only home
    tell(settings, drift)
    assert [body["subject"] for body in http.bodies] == ["dagmm-pumps"]
    assert "told whether or not it was told before" in capfd.readouterr().err


def test_a_clock_that_was_ahead_silences_nothing(configure, http, drift, clock):
    settings = configure(("webhook", http.url))
    tell(settings, drift)
    clock(-1e7)
    tell(settings, drift)
    assert len(http.requests) == 2


def test_a_target_that_does_not_answer_costs_the_time_out_and_no_more(configure, http, drift):
    settings = configure(("webhook", http.url), timeout_seconds=0.3)
    http.wait = threading.Event()  # never set: the server holds the request
    finished = threading.Event()
    threading.Thread(target=lambda: (tell(settings, drift), finished.set()), daemon=True).start()
    assert finished.wait(120)
    assert http.requests == []


def test_a_file_that_cannot_be_used_fails_nothing(configure, http, drift, capfd):
    settings = configure(("webhook", http.url))
    (settings.home / "notify.yaml").write_text("notify: {targets: [{name: x}]}")
    tell(settings, drift)
    assert "nobody was told of it" in capfd.readouterr().err
    (settings.home / "notify.yaml").unlink()
    tell(settings, drift)
    assert http.requests == []


def test_a_damaged_memory_starts_over(configure, http, drift):
    settings = configure(("webhook", http.url))
    (settings.home / "notify.json").write_text("{")
    tell(settings, drift)
    tell(settings, drift)
    assert len(http.requests) == 1


def test_the_memory_holds_no_address(configure, http, drift):
    settings = configure(("webhook", http.url))
    http.answer = 500
    tell(settings, drift)
    kept = (settings.home / "notify.json").read_text()
    assert "dagmm-pumps" in kept
    assert SECRET not in kept
    assert not stat.S_IMODE((settings.home / "notify.json").stat().st_mode) & 0o002


def test_who_looked_at_the_clock_first_and_comes_second_tells_nothing(tmp_path, drift):
    memory = Memory(tmp_path)
    assert memory.claim("webhook", drift, 100.0, 3600.0) == 0
    assert memory.claim("webhook", drift, 99.99, 3600.0) is None
    memory.told("webhook", drift, 100.0, arrived=True)
    assert memory.claim("webhook", drift, 99.98, 3600.0) is None


def tell_together(settings, event, environment, barrier) -> None:
    os.environ.update(environment)  # the fork server has that of the test that started it
    barrier.wait(600)
    tell(settings, event)


def test_of_processes_that_see_the_same_one_tells_it(configure, http, drift):
    settings = configure(("webhook", http.url))
    barrier = processes.Barrier(4)
    workers = [
        processes.Process(target=tell_together, args=(settings, drift, dict(os.environ), barrier))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(240)
        assert worker.exitcode == 0
    assert len(http.requests) == 1


def test_what_waits_survives_a_process_that_is_killed_while_it_tells(configure, http, drift, clock):
    settings = configure(("webhook", http.url))
    http.answer = 503
    tell(settings, drift)
    http.answer, http.requests[:] = 200, []
    later = time.time() + 60
    Memory(settings.home.resolve()).claim_waiting(later)  # and is killed
    clock(60 + TELLING_SECONDS)
    tell(settings, replace(drift, subject="another"))
    assert [body["subject"] for body in http.bodies] == ["dagmm-pumps", "another"]


def claim_and_die(settings, event, environment) -> None:
    os.environ.update(environment)

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    room.deliver = die
    tell(settings, event)


def test_a_process_killed_while_it_tells_leaves_it_to_the_next(configure, http, drift, monkeypatch):
    settings = configure(("webhook", http.url))
    worker = processes.Process(target=claim_and_die, args=(settings, drift, dict(os.environ)))
    worker.start()
    worker.join(240)
    assert worker.exitcode == -signal.SIGKILL
    tell(settings, drift)
    assert http.requests == [], "it may be telling still"
    later = time.time() + TELLING_SECONDS + 1
    monkeypatch.setattr(room.time, "time", lambda: later)
    tell(settings, drift)
    assert len(http.requests) == 1


def test_old_news_is_forgotten(tmp_path, drift):
    memory = Memory(tmp_path)
    memory.claim("a", drift, 0.0, 60.0)
    memory.told("a", drift, 0.0, arrived=True)
    memory.claim("b", drift, 1e9, 60.0)
    memory.told("b", drift, 1e9, arrived=True)
    assert "a\\n" not in (tmp_path / "notify.json").read_text()
