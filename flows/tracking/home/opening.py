"""The embedded store as a command opens it: made at once, and the store of the home it lies in.

MLflow makes its tables in a series of migrations that take seconds, and can neither finish nor use
a store of which some are missing: a command that is killed meanwhile must leave no half of one. And
it writes down absolute addresses. A home that was moved or copied would go on using the files of
the old place, or find none: addresses below another place are set to this one.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from filelock import FileLock

from flows.common import progress
from flows.common.errors import ServiceUnreachable, UsageError
from flows.common.settings import Settings

WAIT_SECONDS = 120
ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Columns of MLflow's tables that hold the address of an artifact."""


def make_store(settings: Settings) -> None:
    """Have a home with MLflow's tables in it; two commands that begin it share one.

    Raises:
        OSError: The home cannot be written.
        ServiceUnreachable: What lies there is empty, which a store never is: it was lost.
        filelock.Timeout: Another command has been making it for minutes.
    """
    file = settings.store_file
    if file.exists():
        if not file.stat().st_size:
            raise without_tables(file)
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    part = file.with_name(f"{file.name}.part")
    with FileLock(file.with_name(f"{file.name}.lock"), timeout=WAIT_SECONDS):
        if file.exists():
            return
        for beginning in part.parent.glob(f"{part.name}*"):  # SQLite's journal lies beside it
            beginning.unlink()
        store = SqlAlchemyStore(f"sqlite:///{part}", settings.artifacts.as_uri())
        store.engine.dispose()
        part.replace(file)


def without_tables(file: Path) -> ServiceUnreachable:
    """What to say of a store that was cut to nothing, or is another program's."""
    return ServiceUnreachable(
        f"{file} has none of MLflow's tables; restore it from a back-up, or remove it if nothing "
        "was kept in it"
    )


def bring_home(settings: Settings) -> None:
    """Have the embedded store name the artifacts of the home that it lies in.

    Raises:
        UsageError: The artifacts did not come along.
    """
    file = settings.store_file
    if not file.exists():
        return
    here = settings.artifacts.as_uri()
    with closing(sqlite3.connect(file, timeout=20)) as store:
        for there in sorted(set(_elsewhere(store, here))):
            if missing := _left_behind(store, there, settings.artifacts):
                raise UsageError(
                    f"{settings.home}: this home was copied from {_path(there).parent} without "
                    f"its artifacts ({', '.join(missing)}); copy the folder `artifacts` as well"
                )
            with store:
                for table, column in ADDRESSES:
                    store.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608
                        f"WHERE substr({column}, 1, ?) = ?",
                        (here, len(there) + 1, len(there) + 1, f"{there}/"),
                    )
            progress.note(f"this home was at {_path(there).parent}; its artifacts are used here")


def _left_behind(store: sqlite3.Connection, there: str, artifacts: Path) -> list[str]:
    """Experiments whose artifacts did not come along; one that was stopped early has none yet."""
    models = [str(at) for (at,) in store.execute("SELECT artifact_location FROM logged_models")]
    return [
        name
        for name, at in _experiments(store)
        if at == f"{there}/{name}"
        and not (artifacts / name).is_dir()
        and (_path(at).is_dir() or any(model.startswith(f"{at}/") for model in models))
    ]


def _elsewhere(store: sqlite3.Connection, here: str) -> Iterator[str]:
    """Addresses of other homes' artifacts, of experiments that a home has made."""
    for name, location in _experiments(store):
        root = location.removesuffix(f"/{name}")
        if (
            root not in (location, here)
            and root.startswith("file:")
            and root.endswith("/artifacts")
        ):
            yield root


def _experiments(store: sqlite3.Connection) -> list[tuple[str, str]]:
    try:
        rows = store.execute("SELECT name, artifact_location FROM experiments").fetchall()
    except sqlite3.OperationalError:  # a store that MLflow is about to set up
        return []
    return [(str(name), str(location)) for name, location in rows]


def _path(uri: str) -> Path:
    from urllib.parse import unquote, urlsplit

    return Path(unquote(urlsplit(uri).path))
