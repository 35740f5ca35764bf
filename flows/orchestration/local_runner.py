"""Prefect's runner, as `dagmm serve` has it: before it ends, its runs do."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import psutil
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner

GRACE_SECONDS = 30.0
"""For a training to write its checkpoint and to close its MLflow run."""


class _LocalRunner(Runner):
    def handle_sigterm(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Have the runs end, and wait.

        Prefect's own handler kills them: they stay RUNNING, and keep the slot of their deployment.
        """
        runs = [child for child in psutil.Process().children() if _is_run(child)]
        for each in runs:
            with suppress(psutil.NoSuchProcess):
                each.terminate()
        psutil.wait_procs(runs, timeout=GRACE_SECONDS)
        raise KeyboardInterrupt


def _is_run(process: psutil.Process) -> bool:
    """Not the keeper of a server, which ends when this process has."""
    try:
        return any(part.startswith("prefect") for part in process.cmdline())
    except psutil.Error:
        return False


def run_here(deployments: Sequence[RunnerDeployment]) -> None:
    """Run the schedules in this process until SIGTERM or Ctrl-C."""
    runner = _LocalRunner(pause_on_shutdown=False)
    for each in deployments:
        runner.add_deployment(each)
    signal.signal(signal.SIGINT, runner.handle_sigterm)
    with suppress(KeyboardInterrupt):
        asyncio.run(runner.start())
