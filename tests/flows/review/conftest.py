"""A registry with one version in production, made of a training that was done once."""

import pytest

from flows.common.settings import Settings
from flows.promotion.promote import promote
from flows.tracking import tracking
from tests.flows import promotion_store as made


@pytest.fixture
def store(home, parts, monkeypatch):
    """Settings and client of an empty registry."""
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    settings = Settings()
    return settings, tracking.connect(settings)


@pytest.fixture
def new(store, parts, tmp_path):
    """Registers one more version, under a quick policy."""

    def register(**changes) -> int:
        folder = tmp_path / f"version{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        config = parts.document["config"] | {"promotion": made.QUICK.model_dump(mode="json")}
        return made.register(store[1], parts, folder, **{"config": config, **changes})

    return register


@pytest.fixture
def served(store, new) -> int:
    """Version 1, in production."""
    version = new()
    promote(store[1], store[0], made.NAME, version, by="trainer")
    return version
