"""Loading libraries without looking for garbage meanwhile.

Importing makes a million objects that stay. Python would look through them again and again: a fifth
of the time of a process that loads large libraries and then does little.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Iterator[None]:
    """Look for no garbage in the block, and afterwards not among what it has loaded."""
    looking = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if looking:
            gc.enable()
