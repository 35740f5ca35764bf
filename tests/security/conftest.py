"""A registry of the test's own, with versions whose files a test may alter."""

import json
from pathlib import Path

import pytest

from flows.common.settings import Settings
from flows.tracking import tracking
from tests.flows import promotion_store as made
from tests.flows.conftest import (  # noqa: F401  fixtures
    dagmm,
    empty_store,
    home,
    prefect_folder,
    prefect_server,
    prefect_tables,
    registry,
    store_with_two_versions,
    two_trainings,
    two_versions,
)
from tests.security.first_version import FIRST


@pytest.fixture
def settings(home, monkeypatch) -> Settings:  # noqa: F811
    monkeypatch.setenv("DAGMM_PROGRESS", "off")
    return Settings()


@pytest.fixture
def client(settings):
    return tracking.connect(settings)


@pytest.fixture
def new(client, tmp_path):
    """Registers the model once more, with files of its own."""
    tags = json.loads((FIRST / "tags.json").read_text())
    document = json.loads((FIRST / "evidence.json").read_text())
    parts = made.Parts(FIRST / "model", FIRST / "evaluation", document, tags)
    made_before = []

    def register() -> int:
        made_before.append(tmp_path / f"version-{len(made_before)}")
        version = made.register(client, parts, made_before[-1])
        client.set_registered_model_alias(made.NAME, "production", str(version))
        return version

    return register


@pytest.fixture
def rows() -> Path:
    return FIRST / "evaluation" / "test_rows.parquet"
