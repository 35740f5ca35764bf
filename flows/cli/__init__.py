"""The public command `dagmm`, one module a family of commands.

What a command needs is loaded when it runs, so that importing this room is free.
"""

import gc
import sys

NEW_OBJECTS = 20_000
"""Between two looks for garbage, where Python's own 700 spend a fifth of every command's start on
looking through the libraries that are just being imported."""


def main() -> None:
    """Run the command line of this process."""
    from flows.cli.commands import main as run

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
        main()
    except SystemExit as leaving:
        if leaving.code:
            raise
