"""One Spark session of the tests' own, on two threads of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from data_checks.errors import EngineError
from data_checks.spark.session import require_spark, spark_session


@pytest.fixture(scope="session")
def needs_spark() -> None:
    """Skip, and say why, where Spark cannot run."""
    try:
        require_spark()
    except EngineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def spark(needs_spark: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The session; whatever asks for one meanwhile gets it."""
    log = tmp_path_factory.mktemp("spark") / "spark.log"
    with spark_session({"spark.master": "local[2]"}, (), log=log) as session:
        yield session
