"""A registry with sealed versions, and the plain functions that decide on them."""

from pathlib import Path

import pytest

from flows.common.settings import Settings
from flows.promotion import promote as stage
from flows.tracking import tracking
from tests.flows import promotion_store as made

NAME = made.NAME


@pytest.fixture
def store(home, parts, monkeypatch):
    """Settings and client of an empty registry."""
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    settings = Settings()
    return settings, tracking.connect(settings)


@pytest.fixture
def new(store, parts, tmp_path):
    """Registers one more version."""

    def register(**changes) -> int:
        folder = tmp_path / f"version{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return made.register(store[1], parts, folder, **changes)

    return register


@pytest.fixture
def promote(store):
    """Promotes by the plain function, under a quick policy."""

    def run(version: int, **options):
        settings, client = store
        options = {"by": "tester", "policy": made.QUICK} | options
        return stage.promote(client, settings, NAME, version, **options)

    return run


def gate(record, name: str):
    return next(g for g in record.gates if g.gate == name)


def model_file(client, version: int, name: str) -> Path:
    source = client.get_model_version(NAME, str(version)).source
    return next(Path(source.removeprefix("file://")).rglob(name))


def run_file(client, version: int, name: str) -> Path:
    run = client.get_run(client.get_model_version(NAME, str(version)).run_id)
    return Path(run.info.artifact_uri.removeprefix("file://")) / name


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
