"""The embedded store is made at once: a command that is killed meanwhile leaves no half of one.

MLflow makes its tables in a series of migrations that take seconds. A store of which some are
missing is one that it can neither finish nor use.
"""

from __future__ import annotations

from filelock import FileLock

from flows.common.settings import Settings

WAIT_SECONDS = 120


def make_store(settings: Settings) -> None:
    """Have a home with MLflow's tables in it; two commands that begin it share one.

    Raises:
        OSError: The home cannot be written.
        filelock.Timeout: Another command has been making it for minutes.
    """
    file = settings.store_file
    if file.exists():
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
