"""What reads the registry for a command that only shows it: without MLflow where that can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.tracking.home import reading

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from flows.common.settings import Settings


def reader(settings: Settings) -> MlflowClient | reading.HomeReader:
    """What the configured store is read with: the tables of a home, else MLflow's client.

    Raises:
        ServiceUnreachable: The store cannot be read.
    """
    if settings.embedded_tracking:
        home = reading.HomeReader(settings)
        if home.schema in (None, reading.SCHEMA):
            return home
    from flows.tracking import tracking

    return tracking.connect(settings, patient=False)
