"""Every epoch's terms on their way to MLflow, while the training goes on."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from dagmm_model.training.epochs import EpochLike
from flows.common.errors import is_transient
from flows.reporting.summary import loss_weights

MAX_LOGGED_EPOCHS = 1000
SHARES = "mixture/phi_"
"""A curve for each component tells nobody anything; the mixture is kept whole at the end."""
FLUSH_SECONDS = 2.0
BATCH = 1000
"""Most metrics in one request; MLflow's limit."""
HELD = "validation_"
Key = tuple[str, int]
"""An epoch as MLflow knows it: its first metric, and the step."""


class EpochLogger:
    """Observer that logs every epoch's terms once, in batches, from a thread of its own.

    The terms of an objective are logged with their weights, so that they add up to `loss/total`.
    Steps count from 0 in each phase of a training: step 0 is its first epoch, whose first batch
    meets the weights as they were drawn.

    Runs beyond `MAX_LOGGED_EPOCHS` epochs are thinned evenly. While the tracking server is away
    the training goes on and the records wait in memory; `complete` at the end raises if it still
    is away then. What an interrupted attempt has sent is not sent again.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client, self._run_id = client, run_id
        self._waiting: list[list[Metric]] = []
        self._weights: Mapping[str, float] = {}
        self._begin: Mapping[str, int] = {}
        self._logged = self._sent_before()
        self._sent_at = time.monotonic()
        self._sending: threading.Thread | None = None
        self._error: Exception | None = None

    def plan(self, settings: Mapping[str, Any]) -> None:
        """Take the settings of the training, before its first epoch."""
        self._weights = loss_weights(settings)
        if self._weights:  # a DAGMM: layers, autoencoder, objective
            before = settings["autoencoder_epochs"]
            self._begin = {"total": settings["epochs"], "autoencoder": settings["epochs"] + before}

    def __call__(self, epoch: EpochLike) -> None:
        """Take one epoch."""
        self._take(epoch)
        if self._error is not None:
            raise self._error
        busy = self._sending is not None and self._sending.is_alive()
        if not busy and time.monotonic() - self._sent_at >= FLUSH_SECONDS:
            # Not an executor: its threads would keep a stopped process waiting for the server.
            self._sending = threading.Thread(target=self._try_to_send, daemon=True)
            self._sending.start()

    def wait(self) -> None:
        """Until what is being sent has been, or could not be."""
        if self._sending is not None:
            self._sending.join()

    def complete(self, history: Sequence[EpochLike]) -> None:
        """Send what waits, and what an interrupted attempt trained but never sent."""
        self.wait()
        if self._error is not None:
            raise self._error
        for epoch in history:
            self._take(epoch)
        self._send()

    def _sent_before(self) -> set[Key]:
        names = [
            name
            for name in self._client.get_run(self._run_id).data.metrics
            if name.startswith("loss/")
        ]
        return {
            (name, metric.step)
            for name in names
            for metric in self._client.get_metric_history(self._run_id, name)
        }

    def _take(self, epoch: EpochLike) -> None:
        first = next(iter(epoch.terms))
        # Of all epochs, so many are planned from the beginning of this phase on.
        step = epoch.epoch - 1 - (epoch.epochs - self._begin.get(first, epoch.epochs))
        key = (_metric(first), step)
        if key in self._logged or not _is_logged(epoch):
            return
        self._logged.add(key)
        now = int(time.time() * 1000)
        self._waiting.append(
            [
                Metric(_metric(term), self._weighted(term, value), now, step)
                for term, value in epoch.terms.items()
                if not term.startswith(SHARES)
            ]
        )

    def _weighted(self, term: str, value: float) -> float:
        """Six digits of what a term adds to the objective; of other terms, their value."""
        return float(f"{value * self._weights.get(term.removeprefix(HELD), 1.0):.6g}")

    def _try_to_send(self) -> None:
        try:
            self._send()
        except Exception as error:  # raised where the training can see it
            if not is_transient(error):
                self._error = error
        self._sent_at = time.monotonic()

    def _send(self) -> None:
        """Send what waits, whole epochs only; what could not be sent stays waiting."""
        while self._waiting:
            batch, epochs = [], 0
            for metrics in tuple(self._waiting):
                if epochs and len(batch) + len(metrics) > BATCH:
                    break
                batch += metrics
                epochs += 1
            self._client.log_batch(self._run_id, metrics=batch)
            del self._waiting[:epochs]


def _metric(term: str) -> str:
    """Name of a term in MLflow: it is a loss unless it says what else it is."""
    return term if "/" in term else f"loss/{term}"


def _is_logged(epoch: EpochLike) -> bool:
    stride = -(-epoch.epochs // MAX_LOGGED_EPOCHS)
    return (epoch.epoch - 1) % stride == 0 or epoch.epoch == epoch.epochs
