"""One Spark task for each piece of work, one answer from each, whatever happens on the way.

Spark runs a task again where its executor was lost, and a second time beside a slow one; of all
attempts one answer counts. What a task writes must therefore not depend on the attempt.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from data_checks.base import errors
from data_checks.base.errors import DataError, UnreachableError

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

T = TypeVar("T")
Answer = Mapping[str, Any]
POLL_SECONDS = 0.2
_FAILED = "failed"
_LOST = ("ExecutorLostFailure", "Python worker exited unexpectedly", "SparkContext was shut down")


def run_tasks(
    spark: SparkSession,
    tasks: Sequence[T],
    work: Callable[[T], Answer],
    tell: Callable[[int, int], None],
) -> list[Answer]:
    """Run each task on an executor.

    Args:
        spark: the session.
        tasks: can be pickled.
        work: gives a task's answer; a module's function, some of it given, or an instance of a
            module's class.
        tell: is told, now and then, how many tasks are done, of how many.

    Returns:
        The answers, in the order of the tasks.

    Raises:
        SourceError: the first error that a task reported about the data.
        UnreachableError: executors were lost, or did not reach the data, too often.
    """
    context = spark.sparkContext
    attempts, alone = _attempts(context), str(context.master).startswith("local")
    group = f"dagmm-{uuid4().hex[:8]}"

    def job() -> list[Answer]:
        context.setJobGroup(group, "dagmm", interruptOnCancel=True)
        rows = context.parallelize(tasks, len(tasks))
        return rows.map(lambda task: _answer(work, task, attempts, alone)).collect()

    if not tasks:
        return []
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(job)
        try:
            while not waiting.done():
                tell(_finished(context, group), len(tasks))
                wait([waiting], timeout=POLL_SECONDS)
            answers = waiting.result()
        except BaseException as error:
            context.cancelJobGroup(group)
            if isinstance(error, Exception):
                raise _translated(error) from error
            raise
    tell(len(tasks), len(tasks))
    for answer in answers:
        if _FAILED in answer:
            number = answer["errno"]
            cause = OSError(number, os.strerror(number)) if number else None
            raise getattr(errors, answer[_FAILED])(answer["said"]) from cause
    return answers


def _answer(work: Callable[[T], Answer], task: T, attempts: int, alone: bool) -> Answer:
    """What a task found, or what is wrong with its data: trying that again would not help."""
    from pyspark import TaskContext

    try:
        return work(task)
    except DataError as error:
        context = TaskContext.get()
        again = context is not None and context.attemptNumber() + 1 < attempts
        if isinstance(error, ConnectionError) and again:
            raise
        cause = error.__cause__
        return {
            _FAILED: type(error).__name__,
            "said": str(error) if alone else f"{error} (on {socket.gethostname()})",
            "errno": cause.errno if isinstance(cause, OSError) else None,
        }


def _attempts(context: SparkContext) -> int:
    """How often Spark tries a task; on one machine it is part of the master's address."""
    master = str(context.master)
    if limit := re.fullmatch(r"local\[[^,]+,\s*(\d+)\]", master):
        return int(limit[1])
    if master == "local" or master.startswith("local["):
        return 1
    return int(context.getConf().get("spark.task.maxFailures", "4") or 4)


def _finished(context: SparkContext, group: str) -> int:
    tracker = context.statusTracker()
    stages = [
        tracker.getStageInfo(stage)
        for job in tracker.getJobIdsForGroup(group)
        if (info := tracker.getJobInfo(job)) is not None
        for stage in info.stageIds
    ]
    return sum(stage.numCompletedTasks for stage in stages if stage is not None)


def _translated(error: Exception) -> Exception:
    """Spark's own failure in one line; Python's traceback or Java's is kept as the cause."""
    message = str(error)
    if _lost(message):
        reason = next((line for line in message.splitlines() if _lost(line)), message)
        return UnreachableError(f"Spark lost what it worked with too often: {reason.strip()}")
    # The last line of the Python traceback in a Java exception's message.
    told = re.findall(r"^(\w[\w.]*(?:Error|Exception): .+)$", message, re.MULTILINE)
    words = [*told, *message.splitlines(), "without a message"]
    return RuntimeError(f"a Spark task failed: {words[0]}")


def _lost(message: str) -> bool:
    return any(sign in message for sign in _LOST)
