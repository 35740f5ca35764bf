"""Verdicts for tests, and processes that add them."""

import os
import signal

from flows.verdicts import store
from flows.verdicts.standing import RowVerdict

MODEL = "dagmm-pumps"


def row_verdict(row: int, verdict: str = "normal", who: str = "ann", time: float = 0.0, **more):
    common = {"note": "", "version": 1, "energy": 4.5, "flagged": True}
    return RowVerdict(f"{row:064x}", f'{{"a":{row}}}', verdict, who, time, **common | more)


def sent(by: str = "ann") -> store.Submission:
    return store.Submission(MODEL, "verdicts.csv", "0" * 64, by)


def add(url: str, given, by: str = "ann") -> int:
    return store.add_verdicts(url, sent(by), given)


def add_together(url: str, who: str, rows: int, barrier) -> None:
    """In a process of its own: every row as somebody's own verdict, and one verdict for all."""
    barrier.wait(600)
    add(url, [row_verdict(row, who=who) for row in range(rows)], who)
    add(url, [row_verdict(row, who="everybody", time=1000.0) for row in range(rows)], who)


def add_and_die(url: str, rows: int, step: str) -> None:
    """In a process of its own: be killed with signal 9 on reaching a step."""

    def reached(now: str) -> None:
        if now == step:
            os.kill(os.getpid(), signal.SIGKILL)

    store.reached = reached
    add(url, [row_verdict(row) for row in range(rows)])
