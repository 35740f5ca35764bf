"""A registry with one version in production, made of a training that was done once."""

from pathlib import Path

import pytest

from flows.promotion.promote import promote
from tests.flows import promotion_store as made
from tests.flows.conftest import moved_into


def quick_policy(parts: made.Parts) -> dict:
    """What is changed in the evidence of a version that is promoted without being served."""
    config = parts.document["config"] | {"promotion": made.QUICK.model_dump(mode="json")}
    return {"config": config}


@pytest.fixture
def new(new, parts):
    """Registers one more version, under a quick policy."""
    return lambda **changes: new(**(quick_policy(parts) | changes))


@pytest.fixture(scope="session")
def served_home(parts, home_of) -> Path:
    """A home with version 1 in production."""

    def fill(client, settings) -> None:
        files = settings.artifacts / "made"
        files.mkdir(parents=True)
        version = made.register(client, parts, files, **quick_policy(parts))
        promote(client, settings, made.NAME, version, by="trainer")

    return home_of("served", fill)


@pytest.fixture
def served(store, served_home) -> int:
    """Version 1, in production."""
    moved_into(store[0], served_home)
    return 1
