"""Spark for the tests: a session on two threads of this machine, and a cluster on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_checks.base.errors import EngineError
from data_checks.spark.session import require_spark, spark_session
from flows.services.servers import free_port
from tests.waiting import until


@pytest.fixture(scope="session")
def needs_spark() -> None:
    """Skip, and say why, where Spark cannot run."""
    try:
        require_spark()
    except EngineError as error:
        pytest.skip(str(error))


SHORT_LIVED = {
    "spark.master": "local[2]",
    # Compiling its own code well takes a Java machine longer than all that the tests ask of it.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.shuffle.partitions": "4",
    "spark.python.daemon.module": "tests.spark_workers",
}


@pytest.fixture(scope="session")
def spark(needs_spark: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The session; whatever asks for one meanwhile gets it."""
    log = tmp_path_factory.mktemp("spark") / "spark.log"
    with spark_session(SHORT_LIVED, (), log=log) as session:
        yield session


WORKERS = ("127.0.0.2", "127.0.0.3")
"""Two hosts to Spark, which starts no second attempt at a task on the host of the first."""


@pytest.fixture(scope="module")
def spark_cluster(
    needs_spark: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, ...]]:
    """A standalone master and two workers; what a session needs to use them."""
    import pyspark

    home = Path(pyspark.__file__).parent
    folder, port = tmp_path_factory.mktemp("cluster"), free_port()
    master = f"spark://127.0.0.1:{port}"
    environment = {**os.environ, "SPARK_HOME": str(home), "SPARK_NO_DAEMONIZE": "1"}

    def start(name: str, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}"]
        with (folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [*command, *arguments, "--webui-port", "0"],
                env=environment,
                stdout=log,
                stderr=log,
            )

    started = [start("master", "master.Master", "--host", "127.0.0.1", "--port", str(port))]
    try:
        until(lambda: "New state: ALIVE" in (folder / "master.log").read_text())
        for host in WORKERS:
            size = ("--cores", "1", "--memory", "1g", "--work-dir", str(folder / host))
            started.append(start(host, "worker.Worker", "--host", host, *size, master))
        until(lambda: (folder / "master.log").read_text().count("Registering worker") == 2)
        yield (
            f"spark.master={master}",
            "spark.driver.host=127.0.0.1",
            "spark.driver.bindAddress=127.0.0.1",
            "spark.executor.memory=512m",
        )
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(timeout=300)
