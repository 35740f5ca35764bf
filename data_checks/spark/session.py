"""A Spark session: on this machine unless a master is given; on loopback, and quiet."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from data_checks.base.errors import EngineError, UnreachableError
from data_checks.base.scratch import scratch_folder

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JAVA = 17
ATTEMPTS = 4
"""Of each task, as on a cluster; on one machine Spark would give up at the first."""
_QUIET = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",  # two columns may differ in case only
}
_LOOPBACK = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}


@contextmanager
def spark_session(
    settings: Mapping[str, str], packages: tuple[str, ...], *, log: Path | None = None
) -> Iterator[SparkSession]:
    """The session that is open in this process, or one of our own, stopped at the end.

    Args:
        settings: Spark's own: `spark.master`, and any other; where they are silent,
            `spark-defaults.conf` holds.
        packages: ours that executors on other machines need; sent to them.
        log: file that gets what the Java process says; None leaves it on stderr.

    Raises:
        EngineError: pyspark or Java is missing, or a setting is not Spark's.
        UnreachableError: the master does not answer.
    """
    require_spark()
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    if SparkContext._active_spark_context is not None:  # of any thread
        yield SparkSession.builder.getOrCreate()
        return
    if unknown := [name for name in settings if not name.startswith("spark.")]:
        raise EngineError(f"setting {unknown[0]!r}: Spark's settings begin with 'spark.'")
    master = settings["spark.master"]
    local = master.startswith("local")
    builder = SparkSession.builder.appName("dagmm")
    for name, value in {**_QUIET, **(_LOOPBACK if local else {}), **settings}.items():
        builder = builder.config(name, value)
    with _environment(local), _stderr_into(log):
        try:
            session = builder.master(_with_attempts(master)).getOrCreate()
        except Exception as error:  # Py4J's, with a Java stack trace for a message
            raise _start_error(master, error, log) from error
    try:
        if not master.startswith("local["):
            with scratch_folder() as folder:
                session.sparkContext.addPyFile(_our_code(packages, folder))
                yield session
        else:
            yield session
    finally:
        session.stop()


def require_spark() -> None:
    """Check that pyspark is installed, and a Java that it runs on.

    Raises:
        EngineError: naming what is missing, and the remedy.
    """
    if importlib.util.find_spec("pyspark") is None:
        raise EngineError(
            "the engine spark needs pyspark: pip install 'dagmm-pipeline[spark]' (Java 17 or newer)"
        )
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    remedy = f"install Java {JAVA} or newer, or set JAVA_HOME to one"
    if java is None or not Path(java).exists():
        raise EngineError(f"the engine spark needs Java, which is not installed; {remedy}")
    done = subprocess.run(  # noqa: S603
        [java, "-version"], capture_output=True, text=True, check=False
    )
    version = re.search(r'version "(\d+)', done.stderr)
    if version is None or int(version[1]) < JAVA:
        first_line = (done.stderr.splitlines() or ["it does not start"])[0]
        raise EngineError(
            f"the engine spark needs another Java than {java} ({first_line}); {remedy}"
        )


def _with_attempts(master: str) -> str:
    if master == "local":
        return f"local[1,{ATTEMPTS}]"
    alone = re.fullmatch(r"local\[(\d+|\*)\]", master)
    return f"local[{alone[1]},{ATTEMPTS}]" if alone else master


def _start_error(master: str, error: Exception, log: Path | None) -> Exception:
    reason = next((line for line in str(error).splitlines() if "Exception" in line), str(error))
    reason = reason.removeprefix(": ").strip()
    where = f"; more in {log}" if log else ""
    if "Could not parse Master URL" in reason or "IllegalArgumentException" in reason:
        return EngineError(f"Spark does not start: {reason}{where}")
    return UnreachableError(f"Spark master {master} cannot be used: {reason}{where}")


@contextmanager
def _environment(local: bool) -> Iterator[None]:
    """What Spark takes from the environment only, while its Java process starts."""
    wanted = {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"} if local else {}
    mine = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            del os.environ[name]


@contextmanager
def _stderr_into(log: Path | None) -> Iterator[None]:
    """Have the processes that are started meanwhile write their stderr to a file."""
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    terminal = os.dup(2)
    try:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def _our_code(packages: tuple[str, ...], folder: Path) -> str:
    """A zip of our packages: executors elsewhere judge with the code of this process."""
    path = folder / "dagmm_code.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in packages:
            root = Path(str(resources.files(package)))
            for file in sorted(root.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    archive.write(file, Path(package, file.relative_to(root)))
    return str(path)
