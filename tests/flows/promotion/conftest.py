"""The plain functions that decide on the versions of a registry."""

from pathlib import Path

import pytest

from flows.promotion import promote as stage
from tests.flows import promotion_store as made
from tests.flows.conftest import moved_into

NAME = made.NAME


@pytest.fixture
def promote(store):
    """Promotes by the plain function, under a quick policy."""

    def run(version: int, **options):
        settings, client = store
        options = {"by": "tester", "policy": made.QUICK} | options
        return stage.promote(client, settings, NAME, version, **options)

    return run


@pytest.fixture
def promoted(store, parts, home_of):
    """Puts versions 1 to `number` into production one after another; done once for the session."""

    def fill(client, settings, number: int) -> None:
        for version in range(1, number + 1):
            files = settings.artifacts / "made" / str(version)
            files.mkdir(parents=True)
            made.register(client, parts, files)
            stage.promote(client, settings, NAME, version, by="tester", policy=made.QUICK)

    def run(number: int) -> range:
        home = home_of(f"promoted-{number}", lambda *into: fill(*into, number))
        moved_into(store[0], home)
        return range(1, number + 1)

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
