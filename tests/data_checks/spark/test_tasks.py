"""One answer from each task, whatever happens on the way."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from data_checks.base.errors import ContractError, SourceError, UnreachableError
from data_checks.spark.tasks import run_tasks


def quiet(done: int, tasks: int) -> None:
    assert 0 <= done <= tasks


@dataclass(frozen=True)
class Tallied:
    """Notes each attempt in a folder; does something else in the first one of task 2."""

    folder: Path
    first: str = ""

    def __call__(self, task: int) -> dict[str, int]:
        before = len(list(self.folder.glob(f"{task}-*")))
        (self.folder / f"{task}-{before}").touch()
        if task == 2 and (before == 0 or self.first.endswith("always")):
            match self.first.split():
                case ["die", *_]:
                    os.kill(os.getpid(), signal.SIGKILL)
                case ["away", *_]:
                    raise UnreachableError("store: cannot be read")
                case ["data", *_]:
                    raise SourceError("part-2: not readable") from OSError(28, "full")
                case ["contract", *_]:
                    raise ContractError("rule 'x': correct the contract")
                case ["defect", *_]:
                    raise KeyError("oops")
        return {"square": task * task}

    def attempts(self, task: int) -> int:
        return len(list(self.folder.glob(f"{task}-*")))


def test_answers_come_in_the_order_of_the_tasks(spark, tmp_path):
    answers = run_tasks(spark, list(range(6)), Tallied(tmp_path), quiet)
    assert [answer["square"] for answer in answers] == [0, 1, 4, 9, 16, 25]
    assert run_tasks(spark, [], Tallied(tmp_path), quiet) == []


@pytest.mark.parametrize("first", ["die", "away"])
def test_a_killed_worker_and_a_store_that_is_away_cost_an_attempt(spark, tmp_path, first):
    work = Tallied(tmp_path, first)
    answers = run_tasks(spark, list(range(4)), work, quiet)
    assert [answer["square"] for answer in answers] == [0, 1, 4, 9]
    assert work.attempts(2) == 2


@pytest.mark.parametrize(
    ("first", "kind", "message", "attempts"),
    [
        ("data always", SourceError, "part-2: not readable", 1),
        ("contract always", ContractError, "rule 'x'", 1),
        ("away always", UnreachableError, "store: cannot be read", 4),
        ("die always", UnreachableError, "Python worker exited", 4),
        ("defect always", RuntimeError, "KeyError: 'oops'", 4),
    ],
)
def test_what_does_not_pass_is_one_error(spark, tmp_path, first, kind, message, attempts):
    work = Tallied(tmp_path, first)
    with pytest.raises(kind, match=message) as raised:
        run_tasks(spark, list(range(4)), work, quiet)
    assert work.attempts(2) == attempts
    assert "\n" not in str(raised.value)
    if first == "data always":
        assert raised.value.__cause__.errno == 28
