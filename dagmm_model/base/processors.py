"""Work in slices of rows, by as many threads as may be used, beside the BLAS library's own."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 512
"""Rows computed at a time: their activations stay in the processor's cache. With twice as many, a
thread's allocator gives the memory back to the system after every layer, at half the speed."""


@cache
def blas_threads() -> Any:
    """Controller of the BLAS libraries that are loaded, and of SciPy's, which kernels call."""
    import scipy.linalg.cython_blas  # noqa: F401

    return ThreadpoolController().select(user_api="blas")


def processors() -> int:
    """Threads to use: the processors of this process, no more than its BLAS library may use.

    So that ``OMP_NUM_THREADS=1`` and `threadpoolctl` limit these threads, too.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits: list[int] = [pool["num_threads"] for pool in blas_threads().info()]
    return max(1, min([available or 1, *limits]))


def in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Results of work for each item, in order; in threads where there are processors.

    Each of them has one thread of the BLAS library.
    """
    workers = min(processors(), len(items))
    with blas_threads().limit(limits=1):
        if workers <= 1:
            return [work(item) for item in items]
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(work, items))


def chunks(n: int) -> Iterator[slice]:
    """Consecutive slices of at most `CHUNK` rows."""
    for start in range(0, n, CHUNK):
        yield slice(start, min(start + CHUNK, n))


def each_chunk(work: Callable[[slice], None], n: int) -> None:
    """Call work for every slice of n rows, in threads where there are processors and rows enough.

    The slices are the same whatever the number of threads, and so is the result.
    """
    in_threads(work, list(chunks(n)))
