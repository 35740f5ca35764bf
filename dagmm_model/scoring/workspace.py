"""Arrays of a scorer that are used again.

Memory that is fresh from the system is cleared page by page at its first touch, which takes longer
than what scoring computes in it.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from dagmm_model.base.arrays import Float

KEPT = 2**20
"""Values of the largest array that is kept until rows are scored again: 8 MiB."""


class Workspace:
    """Arrays by name, for one thread at a time."""

    def __init__(self) -> None:
        self._arrays: dict[str, Float] = {}

    def __call__(self, name: str, *shape: int) -> Float:
        """An array of that shape, its contents undefined."""
        size = math.prod(shape)
        array = self._arrays.get(name)
        if array is None or array.size < size:
            array = self._arrays[name] = np.empty(size)
        return array[:size].reshape(shape)

    def trim(self) -> None:
        """Give back what is too large to be kept."""
        self._arrays = {name: a for name, a in self._arrays.items() if a.size <= KEPT}


class Workspaces:
    """Workspaces of several threads, as many as were ever in use at once."""

    def __init__(self) -> None:
        self._free: list[Workspace] = []

    @contextmanager
    def one(self) -> Iterator[Workspace]:
        """A workspace that nobody else uses until the block ends."""
        try:
            work = self._free.pop()
        except IndexError:
            work = Workspace()
        try:
            yield work
        finally:
            work.trim()
            self._free.append(work)

    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        """Copies begin without arrays."""
        return Workspaces, ()
