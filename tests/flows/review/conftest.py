"""A registry with one version in production, made of a training that was done once."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest

from flows.common.settings import Settings
from flows.promotion.promote import promote
from flows.tracking import tracking
from flows.tracking.moved import bring_home
from tests.flows import promotion_store as made
from tests.flows.conftest import made_once


def quick_policy(parts: made.Parts) -> dict:
    """What is changed in the evidence of a version that is promoted without being served."""
    config = parts.document["config"] | {"promotion": made.QUICK.model_dump(mode="json")}
    return {"config": config}


@pytest.fixture
def new(new, parts):
    """Registers one more version, under a quick policy."""
    return lambda **changes: new(**(quick_policy(parts) | changes))


@pytest.fixture(scope="session")
def served_home(parts, empty_store, tmp_path_factory) -> Path:
    """A home with version 1 in production; made once, and copied."""

    def make(home: Path) -> None:
        shutil.copy(empty_store, home / "mlflow.db")
        with mock.patch.dict(os.environ, DAGMM_HOME=str(home)):
            os.environ.pop("MLFLOW_TRACKING_URI", None)
            os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
            settings = Settings()
            client = tracking.connect(settings)
            files = settings.artifacts / "made"  # among those that move with a home
            files.mkdir(parents=True)
            version = made.register(client, parts, files, **quick_policy(parts))
            promote(client, settings, made.NAME, version, by="trainer")

    return made_once(tmp_path_factory, "served", make)


@pytest.fixture
def served(store, served_home) -> int:
    """Version 1, in production."""
    settings = store[0]
    with (
        closing(sqlite3.connect(served_home / "mlflow.db")) as there,
        closing(sqlite3.connect(settings.home / "mlflow.db")) as here,
    ):
        there.backup(here)  # the store is open already
    shutil.copytree(served_home / "artifacts", settings.artifacts, dirs_exist_ok=True)
    bring_home(settings)
    return 1
