"""Start-up of `dagmm train`: slow imports, the home's Prefect server and a helper, side by side."""

from __future__ import annotations

import importlib
import sys
import threading
import time
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Self

from flows.common.loading import undisturbed
from flows.common.settings import Settings
from flows.services.helper import helper

HEAVY_IMPORTS = (
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "dagmm_model.detectors.dagmm",
    "sklearn.metrics",
)
BESIDE = ("data_checks.validation.validation", "matplotlib.backends.backend_agg sklearn.metrics")
"""What the works of the helper take, in their order: to validate, to draw."""


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
        if "great_expectations" not in sys.modules:
            self._open.enter_context(helper(*BESIDE))
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

    def _timed(self, name: str, work: object) -> None:
        started = time.perf_counter()
        work()  # type: ignore[operator]
        self.seconds[name] = time.perf_counter() - started
