"""What the benchmarks of speed measure with."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def peak() -> float:
    """Peak resident memory of this process so far, MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def dagmm_score(*arguments: str) -> tuple[dict[str, Any], float, float]:
    """One `dagmm score` as a process: its report, its peak memory in MiB, its seconds."""
    command = [str(Path(sys.executable).with_name("dagmm")), "score", *arguments, "--json"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        printed = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"dagmm score ended with status {process.returncode}")
    seconds = time.perf_counter() - started
    return json.loads(printed), round(usage.ru_maxrss / 1024, 1), seconds
