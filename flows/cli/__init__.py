"""The public command `dagmm`, one module a family of commands.

What a command needs is loaded when it runs, so that importing this room is free.
"""

import atexit
import gc
import logging
import os
import sys
from contextlib import suppress

NEW_OBJECTS = 20_000
"""Between two looks for garbage, where Python's own 700 spend a fifth of every command's start on
looking through the libraries that are just being imported."""


def main() -> None:
    """`dagmm` as a process of its own, which this ends.

    Once everything that asked for it was called and all output is written, the process leaves
    without taking the interpreter down: Arrow's threads, which read ahead and cannot be waited for,
    may still hold objects of Python, and to release one then aborts the process with code 134.
    """
    code = [1]  # of an error that nobody turned into a message
    atexit.register(_leave, code)  # the first to be registered is the last to be called
    try:
        _run()
    except SystemExit as leaving:
        code[0] = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        raise
    code[0] = 0


def _leave(code: list[int]) -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # whoever read it has gone, or it is closed
            stream.flush()
    os._exit(code[0])


def _run() -> None:
    from flows.cli.commands import main as run

    os.environ.setdefault("DO_NOT_TRACK", "1")
    gc.set_threshold(NEW_OBJECTS)
    run()


def dagmm(*arguments: str) -> None:
    """`dagmm ARGUMENTS` in this process, for launchers that call a function.

    So does Spark: ``TorchDistributor(num_processes=2, use_gpu=False).run(dagmm, "train", "wdbc")``.

    Raises:
        SystemExit: The command ended with another exit code than 0.
    """
    sys.argv = ["dagmm", *arguments]
    try:
        _run()
    except SystemExit as leaving:
        if leaving.code:
            raise
