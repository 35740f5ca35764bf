"""Start-up of `dagmm train`: a helper, the home's Prefect server and slow imports, side by side."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

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
    "dagmm_model.detectors.baselines.forest",
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


class Startup:
    """Warm up while the flow is being prepared; `seconds` says what each part cost.

    The server is a process of its own, so it starts while this process imports. Imports run in
    one background thread; a stage that needs a module waits for it on the import lock.
    """

    def __init__(self, settings: Settings) -> None:
        self.seconds: dict[str, float] = {}
        self._settings = settings
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._import_all, daemon=True)
        self._thread.start()
        # Before Prefect is imported, which reads the server's address from the environment.
        if self._settings.prefect_api_url is None:
            from flows.services.embedded import prefect_server

            server = prefect_server(self._settings)
            self._timed("start Prefect's server", lambda: self._open.enter_context(server))
        self._timed("import prefect", lambda: importlib.import_module("prefect"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()
        self._thread.join()

    def _import_all(self) -> None:
        with undisturbed():
            for module in HEAVY_IMPORTS:
                work = partial(importlib.import_module, module)
                self._timed(f"import {module}", work)
            self._timed("begin with Numba and MLflow", begin_with_libraries)

    def _timed(self, name: str, work: object) -> None:
        started = time.perf_counter()
        work()  # type: ignore[operator]
        self.seconds[name] = time.perf_counter() - started
