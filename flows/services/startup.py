"""Start-up of `dagmm train`: a helper, the home's Prefect server and slow imports, side by side."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from flows.common.loading import begin_with_libraries, undisturbed
from flows.services.helper import helper

if TYPE_CHECKING:
    from flows.common.settings import Settings

HEAVY_IMPORTS = (
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "dagmm_model.detectors.dagmm",
    "sklearn.metrics",
    # Of the stages after the validation, which this process waits for.
    "flows.pipeline.fitting.tracked",
    "flows.pipeline.register",
    "mlflow.pyfunc.model",
    "dagmm_model.detectors.baselines.isolation_forest",
    "dagmm_model.detectors.baselines.simple",
    "flows.promotion.promote",
    "flows.review.report",
)
BESIDE = ("data_checks.validation.validation", "matplotlib.backends.backend_agg sklearn.metrics")
"""What the works of the helper take, in their order: to validate, to draw."""


def beside() -> AbstractContextManager[subprocess.Popen[bytes] | None]:
    """The helper of a training: started first, since what it loads takes longest.

    None where that is loaded already, nor for a rank that only helps to fit.
    """
    idle = "great_expectations" in sys.modules or os.environ.get("RANK", "0") != "0"
    return nullcontext() if idle else helper(*BESIDE)


@contextmanager
def started(settings: Settings) -> Iterator[dict[str, float]]:
    """Warm up while the flow is being prepared; gives the seconds that each part cost.

    The server is a process of its own, so it starts while this process imports. Imports run in
    one background thread; a stage that needs a module waits for it on the import lock.
    """
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        begun = time.perf_counter()
        work()
        seconds[name] = time.perf_counter() - begun

    def import_all() -> None:
        with undisturbed():
            for module in HEAVY_IMPORTS:
                timed(f"import {module}", partial(importlib.import_module, module))
            timed("begin with Numba and MLflow", begin_with_libraries)

    thread = threading.Thread(target=import_all, daemon=True)
    thread.start()
    with ExitStack() as stack:
        stack.callback(thread.join)
        # Before Prefect is imported, which reads the server's address from the environment.
        if settings.prefect_api_url is None:
            from flows.services.embedded import prefect_server

            server = prefect_server(settings)
            timed("start Prefect's server", lambda: stack.enter_context(server))
        timed("import prefect", partial(importlib.import_module, "prefect"))
        yield seconds
