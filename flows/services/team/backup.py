"""Save and restore what a team cannot make again: three databases and MLflow's artifacts.

MLflow's artifacts are written once and before anything in the database names them. So databases
first, artifacts second, gives a copy in which every file that a row names is there, while everybody
goes on working.
"""

import shutil
import time
from pathlib import Path

from flows.common.errors import UsageError
from flows.services.team.services import one_supervisor
from flows.services.team.settings import DATABASES, MLFLOW, TeamSettings, read_secrets

ARTIFACTS = "artifacts"


def backup(team: TeamSettings, parent: Path) -> Path:
    """Save into a new folder below `parent`, named by the time; the services may be in use.

    Raises:
        ServiceUnreachable: The database does not answer.
    """
    database = team.postgres(read_secrets(team))
    folder = parent / time.strftime("dagmm-%Y%m%dT%H%M%SZ", time.gmtime())
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir(parents=True, mode=0o700)
    try:
        for name in DATABASES:
            database.client("pg_dump", "-Fc", "-f", partial / f"{name}.dump", name)
        shutil.copytree(team.artifacts, partial / ARTIFACTS)
        partial.replace(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return folder


def restore(team: TeamSettings, folder: Path) -> None:
    """Put a saved state into a set-up that holds none; the services are stopped.

    Raises:
        UsageError: `folder` holds no complete copy, or the set-up holds something already.
        ServiceUnreachable: PostgreSQL refused; its own message is in ours.
    """
    dumps = {name: folder / f"{name}.dump" for name in DATABASES}
    if lacking := [path.name for path in dumps.values() if not path.exists()]:
        raise UsageError(f"{folder} is not a complete backup: {', '.join(lacking)} is not there")
    database = team.postgres(read_secrets(team))
    with one_supervisor(team):
        if any(team.artifacts.glob("*")):
            raise UsageError(
                f"{team.artifacts} is not empty: restore into a new folder (DAGMM_SERVICES_HOME)"
            )
        database.start()
        try:
            database.create_missing(DATABASES)
            tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            if database.client("psql", "-d", MLFLOW, "-Atc", tables) != "0":
                raise UsageError(
                    f"the database {MLFLOW} holds tables already: restore into a new folder "
                    "(DAGMM_SERVICES_HOME)"
                )
            for name, dump in dumps.items():
                database.client("pg_restore", "--exit-on-error", "--no-owner", "-d", name, dump)
            shutil.copytree(folder / ARTIFACTS, team.artifacts, dirs_exist_ok=True)
        finally:
            database.stop()
