"""How many processors may be used, and the BLAS library's own threads."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


@cache
def blas_threads() -> Any:
    """Controller of the BLAS libraries that are loaded."""
    return ThreadpoolController().select(user_api="blas")


def processors() -> int:
    """Threads to use: the processors of this process, no more than its BLAS library may use.

    So that ``OMP_NUM_THREADS=1`` and `threadpoolctl` limit these threads, too.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits: list[int] = [pool["num_threads"] for pool in blas_threads().info()]
    return max(1, min([available or 1, *limits]))
