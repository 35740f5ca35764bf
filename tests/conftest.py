"""Environment of every test: telemetry off, no network, real data where it is there."""

import gc
import os
import socket
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest

from tests import disk  # noqa: F401  it speaks for every process
from tests.postgres import postgres  # noqa: F401  a fixture for every folder
from tests.spark import needs_spark, spark, spark_cluster  # noqa: F401  the same

os.environ.update(
    DO_NOT_TRACK="1",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    MLFLOW_DISABLE_TELEMETRY="true",
    PREFECT_LOGGING_TO_API_ENABLED="false",
    DAGMM_PREFECT_IDLE_SECONDS="0",  # no server outlives the tests; who tests that sets it
)
# The readline that pytest loads sets it to 80, xdist's workers inherit it: what a pipe gets whole
# would be broken in some runs and not in others.
os.environ.pop("COLUMNS", None)
if "PYTEST_XDIST_WORKER" not in os.environ:
    # One Prefect server for the session; its processes inherit where it will be. Prefect reads its
    # settings when it is first imported, which a test module may do on collection. Until it starts,
    # which may be minutes later, the port is held, so that it is given to nobody else.
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{held.getsockname()[1]}/api"
    if sys.platform != "linux":  # elsewhere no other process may bind to it then
        held.close()
# How long an example takes says something of the machine, not of the code.
hypothesis.settings.register_profile("untimed", deadline=None, max_examples=50)
hypothesis.settings.load_profile("untimed")


def pytest_configure(config):
    """What all processes of the tests inherit.

    Each computes in one thread: where they share the cores, further ones spin while they wait.
    Their files lie in memory, where it has room: there are some hundred thousand, and each costs
    the processor seven times as much on a disk.
    """
    if not getattr(config.option, "numprocesses", None):
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if "TMPDIR" not in os.environ and _has_room(memory := "/dev/shm"):
        os.environ["TMPDIR"] = tempfile.tempdir = memory


def _has_room(folder: str, needed: int = 4 << 30) -> bool:
    """Whether so many bytes fit, and what is written can be executed."""
    try:
        there = os.statvfs(folder)
    except (AttributeError, OSError):
        return False
    return there.f_bavail * there.f_frsize >= needed and not there.f_flag & os.ST_NOEXEC


def pytest_collection_modifyitems(items):
    """Among several processes, what takes long begins first."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        from tests.schedule import longest_first  # pytest-xdist is there then

        items.sort(key=longest_first(items))


def pytest_collectstart():
    """Until everything is collected: what is imported is no garbage."""
    gc.disable()


def pytest_collection_finish():
    """The garbage collector need not look through all that the tests have imported, every time.

    Nor as often as it would through what they import later.
    """
    gc.enable()
    gc.collect()
    gc.freeze()
    youngest, middle, _ = gc.get_threshold()
    gc.set_threshold(youngest, middle, 100)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadfile`, a process gets files that share something dear together."""
    if config.getvalue("dist") != "loadfile":
        return None
    from tests.schedule import ByUnit

    config.option.loadscopereorder = False  # by the order of the tests
    return ByUnit(config, log)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the paper's data files."""
    folder = os.environ.get("DAGMM_DATA_DIR")
    if not folder or not (Path(folder) / "thyroid.mat").exists():
        pytest.skip("DAGMM_DATA_DIR does not hold the paper's data files")
    return Path(folder)
