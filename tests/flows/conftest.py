"""A real Prefect server for the session, a fresh MLflow store for each test, the public command.

The command runs in this process (its imports cost seconds) unless a test is about the process
itself: then `dagmm_process` starts it as a user would.
"""

import functools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest import mock
from urllib.parse import urlsplit

import pytest
from filelock import FileLock

from flows.services import keeper
from flows.services.servers import start, wait_for

BIN = Path(sys.executable).parent
FAST = (
    "--set",
    "detector.settings.epochs=5",
    "--set",
    "detector.settings.members=1",
    # Starting the model server costs seconds; test_train.py and test_promotion.py do it.
    "--set",
    "promotion.serving_check=false",
)


@pytest.fixture(autouse=True)
def progress_is_shown(monkeypatch):
    """Whatever a command of an earlier test has set in this process."""
    monkeypatch.delenv("DAGMM_PROGRESS", raising=False)


def made_once(tmp_path_factory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that one of the session's processes makes, and all of them read."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder, done = root / name, root / f"{name}.made"
    with FileLock(root / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


QUIET_PREFECT = {
    f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false"
    for name in (
        *("SCHEDULER", "LATE_RUNS", "FOREMAN", "REPOSSESSOR", "CLEANUP_RECONCILER"),
        *("PAUSE_EXPIRATIONS", "CANCELLATION_CLEANUP"),
    )
}
"""What its server does every few seconds for schedules and workers: these tests have neither."""


@pytest.fixture(scope="session")
def prefect_folder(tmp_path_factory) -> Path:
    """Home of a Prefect server on loopback, of all processes of the session, with which it ends."""
    url = os.environ["PREFECT_API_URL"]
    session = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()

    def start_server(home: Path) -> None:
        log = home / "server.log"
        server = start(
            *("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port"),
            str(urlsplit(url).port),
            environment={
                "PREFECT_HOME": str(home),
                "PREFECT_UI_ENABLED": "false",
                **QUIET_PREFECT,
            },
            log=log,
            holders=keeper.identity(session),
        )
        wait_for(f"{url}/health", server, log)
        with (
            closing(sqlite3.connect(home / "prefect.db")) as created,
            closing(sqlite3.connect(home / "tables.db")) as copy,
        ):
            created.backup(copy)

    return made_once(tmp_path_factory, "prefect", start_server)


@pytest.fixture(scope="session")
def prefect_server(prefect_folder) -> str:
    """Address of that server."""
    return os.environ["PREFECT_API_URL"]


QUICK_PREFECT = {
    **QUIET_PREFECT,
    "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
}
"""A server comes up in half the time: its tables exist, nobody asks for Prefect's own blocks."""


@pytest.fixture(scope="session")
def prefect_tables(prefect_folder) -> Path:
    """A Prefect database whose tables exist: a server takes seconds to create them."""
    return prefect_folder / "tables.db"


@pytest.fixture
def quick_prefect(home, prefect_tables, monkeypatch) -> Path:
    """The home's own Prefect server will come up in half the time; its folder."""
    folder = home / "prefect"
    folder.mkdir()
    shutil.copy(prefect_tables, folder / "prefect.db")
    for name, value in QUICK_PREFECT.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def ask(prefect_server):
    """A request to the Prefect API; its client repeats what a busy server refuses."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield lambda path, body=None: client.request(
            "GET" if body is None else "POST", path, json=body
        ).json()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Iterator[Path]:
    """An MLflow database whose tables exist: creating them takes seconds, copying nothing.

    For each store that it opens, MLflow looks through all of its migrations for the newest: here,
    for the first only.
    """
    from mlflow.store.db import utils
    from mlflow.tracking import MlflowClient

    def migrate(folder: Path) -> None:
        MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()

    newest = functools.cache(utils._get_latest_schema_revision)
    with mock.patch.object(utils, "_get_latest_schema_revision", newest):
        yield made_once(tmp_path_factory, "store", migrate) / "mlflow.db"


@pytest.fixture
def home(tmp_path, empty_store, monkeypatch) -> Iterator[Path]:
    """`DAGMM_HOME` of one test; what a command adds to the environment goes with it."""
    # MLflow keeps where the files of a run are; homes that are copies have the same runs.
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()
    folder = tmp_path / "mlruns"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    monkeypatch.setenv("DAGMM_HOME", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with mock.patch.dict(os.environ):
        yield folder


@pytest.fixture(scope="session")
def two_trainings(prefect_server, empty_store, tmp_path_factory) -> tuple[Path, list[dict]]:
    """A store with version 2 in production and version 1 before it, and what their trainings said.

    Made once: whoever only looks at a training looks at these.
    """
    folder = made_once(tmp_path_factory, "two", lambda folder: _train_twice(folder, empty_store))
    return folder / "mlflow.db", json.loads((folder / "results.json").read_text())


def _train_twice(home: Path, empty_store: Path) -> None:
    from flows.cli import commands as cli

    shutil.copy(empty_store, home / "mlflow.db")
    results = []
    for seed in (0, 1):
        settings = ["--set", f"seed={seed}", "--set", "promotion.margin=1.0"]
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out:
            patch.setenv("DAGMM_HOME", str(home))
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            patch.setattr(sys, "argv", ["dagmm", "train", "wdbc", *FAST, *settings, "--json"])
            patch.setenv("DAGMM_PROGRESS", "off")
            with pytest.raises(SystemExit) as leaving:
                cli.main()
        assert not leaving.value.code
        results.append(json.loads(out.getvalue()))
    (home / "results.json").write_text(json.dumps(results))


@pytest.fixture(scope="session")
def store_with_two_versions(two_trainings) -> Path:
    """The store of those two trainings."""
    return two_trainings[0]


@pytest.fixture
def two_versions(home, store_with_two_versions) -> None:
    """This test's own copy of that store."""
    shutil.copy(store_with_two_versions, home / "mlflow.db")
    artifacts = store_with_two_versions.parent / "artifacts"
    shutil.copytree(artifacts, home / "artifacts", dirs_exist_ok=True)


@pytest.fixture(scope="session")
def parts(store_with_two_versions, tmp_path_factory):
    """A trained version, taken apart: see `tests.flows.promotion_store`."""
    import mlflow
    from mlflow.tracking import MlflowClient

    from tests.flows.promotion_store import take_apart

    uri = f"sqlite:///{store_with_two_versions}"
    with mock.patch.dict(os.environ):  # MLflow writes both into it, for all tests to come
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        return take_apart(MlflowClient(uri, uri), 2, tmp_path_factory.mktemp("parts"))


@pytest.fixture
def store(home, parts, monkeypatch):
    """Settings and client of an empty registry."""
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from flows.common.settings import Settings
    from flows.tracking import tracking

    settings = Settings()
    return settings, tracking.connect(settings)


@pytest.fixture(scope="session")
def home_of(empty_store, tmp_path_factory) -> Callable[..., Path]:
    """A home whose registry `fill` fills once for the session; `moved_into` copies it for a test.

    What it keeps in `settings.artifacts` moves along.
    """
    from flows.common.settings import Settings
    from flows.tracking import tracking

    def made(name: str, fill: Callable[[object, Settings], None]) -> Path:
        def make(home: Path) -> None:
            shutil.copy(empty_store, home / "mlflow.db")
            with mock.patch.dict(os.environ, DAGMM_HOME=str(home)):
                os.environ.pop("MLFLOW_TRACKING_URI", None)
                os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
                settings = Settings()
                fill(tracking.connect(settings), settings)

        return made_once(tmp_path_factory, name, make)

    return made


def moved_into(settings, made: Path) -> None:
    """The test's home becomes a copy of one that was made once; its store may be open already."""
    from flows.tracking import tracking
    from flows.tracking.home.opening import bring_home

    with (
        closing(sqlite3.connect(made / "mlflow.db")) as there,
        closing(sqlite3.connect(settings.home / "mlflow.db")) as here,
    ):
        there.backup(here)
    shutil.copytree(made / "artifacts", settings.artifacts, dirs_exist_ok=True)
    bring_home(settings)
    tracking.connect(settings)  # MLflow may have stayed at the one that was just made


@pytest.fixture
def new(store, parts, tmp_path):
    """Registers one more sealed version, without a training."""
    from tests.flows import promotion_store as made

    def register(**changes) -> int:
        folder = tmp_path / f"version{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return made.register(store[1], parts, folder, **changes)

    return register


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def dagmm(home, prefect_server, monkeypatch, capfd):
    """Run the public command in this process."""
    from flows.cli import commands as cli

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["dagmm", *map(str, arguments)])
        monkeypatch.delenv("DAGMM_PROGRESS", raising=False)
        capfd.readouterr()
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        out, err = capfd.readouterr()
        return Outcome(leaving.value.code or 0, out, err)

    return run


@pytest.fixture
def dagmm_process(home, prefect_server):
    """Start the public command as a process of its own."""

    def start(*arguments: str, **environment: str) -> subprocess.Popen:
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("dagmm")), *map(str, arguments)],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Whoever starts the tests in the background has them ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return start


@pytest.fixture
def registry(home):
    """Client of the test's registry."""
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{home / 'mlflow.db'}"
    return MlflowClient(uri, uri)  # the registry's would otherwise be the last command's


def production(registry, name: str = "dagmm-wdbc") -> int | None:
    """Version behind the `production` alias."""
    version = registry.get_registered_model(name).aliases.get("production")
    return None if version is None else int(version)
