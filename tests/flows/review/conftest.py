"""A registry with one version in production, made of a training that was done once."""

import pytest

from flows.promotion.promote import promote
from tests.flows import promotion_store as made


@pytest.fixture
def new(new, parts):
    """Registers one more version, under a quick policy."""
    config = parts.document["config"] | {"promotion": made.QUICK.model_dump(mode="json")}
    return lambda **changes: new(**{"config": config, **changes})


@pytest.fixture
def served(store, new) -> int:
    """Version 1, in production."""
    version = new()
    promote(store[1], store[0], made.NAME, version, by="trainer")
    return version
