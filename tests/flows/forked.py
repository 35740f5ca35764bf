"""Commands in processes of their own that have imported everything already.

For tests of what happens between processes: starting an interpreter costs them ten seconds each.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

import psutil

from tests.forkserver import processes


def start(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    output: Path,
    errors: str = "",
    **death: object,
):
    """Start `dagmm ARGUMENTS`, its streams to files; `death` kills it on the way: see `die_in`."""
    ours = (list(arguments), dict(environment), str(output), errors, death, os.getpid())
    process = processes.Process(target=_command, args=ours)
    process.start()
    return process


class Running:
    """A command that goes on, and what it says meanwhile."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path):
        message, self._errors = folder / "said", folder / "errors"
        os.mkfifo(message)
        self.process = start(arguments, environment, message, errors=str(self._errors))
        self.stdout = message.open()  # as soon as the command has opened it

    def send_signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def ended(self) -> tuple[int, str, str]:
        """Exit code and the rest of both streams, once it has ended."""
        out = self.stdout.read()
        self.process.join(300)
        return self.process.exitcode, out, self._errors.read_text()


@contextmanager
def running(
    arguments: Sequence[object], environment: Mapping[str, str], folder: Path
) -> Iterator[Running]:
    """Run `dagmm ARGUMENTS` beside the block; killed at its end, if it has not ended by then."""
    folder.mkdir()
    command = Running([str(each) for each in arguments], environment, folder)
    try:
        yield command
    finally:
        command.process.kill()
        command.process.join()
        command.stdout.close()


def finish(process: BaseProcess, output: Path) -> dict:
    """Wait for a command that has to succeed; the JSON document that it printed."""
    process.join(1200)
    assert process.exitcode == 0, f"exit code {process.exitcode}: {output.read_text()[-3000:]}"
    return json.loads(output.read_text())


def gather(workers: Sequence[BaseProcess], results: Queue, number: int) -> list:
    """As many results as there have to be; a worker that dies ends the wait at once."""
    actual: list = []
    while len(actual) < number:
        try:
            actual.append(results.get(timeout=1))
        except Empty:
            died = [worker.exitcode for worker in workers if worker.exitcode]
            assert not died, f"exit codes {died}; results so far: {actual}"
    return actual


def _command(
    arguments: list[str],
    environment: dict[str, str],
    output: str,
    errors: str,
    death: dict[str, object],
    tests: int,
) -> None:
    threading.Thread(target=_end_after, args=(tests,), daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    for stream, path in ((1, output), (2, errors)):
        if path:
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    from prefect.context import refresh_global_settings_context

    from flows.cli import commands as cli

    refresh_global_settings_context()  # read when Prefect was imported, in another environment
    sys.argv = ["dagmm", *arguments]
    if death:
        die_in(**death)
    cli.main()


def _end_after(pid: int) -> None:
    """End this process when that one has; the server of forks outlives it as long as we do."""
    while psutil.pid_exists(pid):
        time.sleep(1)
    os._exit(1)


def die_in(stage: str, point: str, seconds: float) -> None:
    """Have this process killed with signal 9 in a stage of the training.

    Args:
        stage: Name of the stage.
        point: `start`, before anything of it was done; `middle`, after half the time that it takes;
            `end`, when all was done and only its record is missing; `recorded`, right after that.
        seconds: How long the stage takes.
    """
    from flows.stages import table, workspace

    real_stage, real_write = table.run_stage, workspace.write_atomic

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def run_stage(run, name, kind, work, later):
        if name == stage and point == "start":
            die()
        if name == stage and point == "middle":
            threading.Thread(target=lambda: (time.sleep(seconds / 2), die()), daemon=True).start()
        return real_stage(run, name, kind, work, later)

    def write_atomic(path: Path, text: str) -> None:
        if path.name != f"{stage}.json":
            return real_write(path, text)
        if point != "recorded":  # `middle` too: it was quicker than half its time of before
            die()
        real_write(path, text)
        return die()

    table.run_stage, workspace.write_atomic = run_stage, write_atomic
