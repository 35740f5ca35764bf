"""Loading libraries without looking for garbage meanwhile.

Importing makes a million objects that stay. Python would look through them again and again: a fifth
of the time of a process that loads large libraries and then does little.
"""

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


def begin_with_libraries() -> None:
    """Do what Numba and MLflow do once, before a first compiled loop and a first model."""
    import numba
    from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

    numba.njit("f8(f8)")(lambda x: x)
    warn_dependency_requirement_mismatches(["mlflow"])  # which packages there are is kept
