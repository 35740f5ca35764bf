"""Errors a user meets, and the exit code each one means."""

import errno
import os
import re
import sqlite3
from collections.abc import Iterator

EXIT_NO = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_DEFECT = 70
EXIT_INTERRUPTED = 130  # as shells report SIGINT, and SIGTERM as 143


PREFECT_IS_AWAY = (
    "Failed to reach API at",
    "Timed out while attempting to connect to ephemeral Prefect API server",
)


EXTRAS = {
    **{"psycopg": "postgres", "flask_wtf": "team", "pyspark": "spark"},
    **{"s3fs": "s3", "gcsfs": "gcs", "model_signing": "signing", "OpenSSL": "signing"},
}
"""Extra of the project by the module that it brings."""
MISPLACED = (
    FileNotFoundError | FileExistsError | PermissionError | NotADirectoryError | IsADirectoryError
)
"""What a path that is given, or set, can lead to; trying again does not help."""
STORES = "a store in DAGMM_HOME (mlflow.db or prefect/prefect.db)"
DATABASE_FAULTS = {
    "locked": "another process is writing to it; try again, and end what hangs",
    "readonly": "make the folder writable, or set DAGMM_HOME to one that is",
    "read-only": "make the folder writable, or set DAGMM_HOME to one that is",
    "not a database": "restore it from a back-up, or set DAGMM_HOME to another folder",
    "malformed": "restore it from a back-up, or set DAGMM_HOME to another folder",
    "unable to open": "make the folder writable, or set DAGMM_HOME to one that is",
    "disk is full": "the disk is full",
    "disk I/O": "the disk, or its file system, fails; set DAGMM_HOME to another one",
}
DISK_FAULTS = {
    errno.EROFS: "name a folder that can be written; DAGMM_HOME names that of the home",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the limit of open files (ulimit -n)",
}


NO_CONNECTION = re.compile(
    r"HTTPS?ConnectionPool\(host='(?P<host>[^']+)', port=(?P<port>\d+)\)"
    r".*?(?:\[Errno -?\d+\] (?P<why>[^'\")]+)|(?P<late>timed out))",
    re.DOTALL,
)
"""What requests says of a server that does not answer, in MLflow's words around it as well."""


class UsageError(ValueError):
    """Wrong usage or input; one message that names what, where and the remedy."""


class Verdict(ValueError):
    """The answer is no: the data failed its checks, or a candidate was rejected."""


class ServiceUnreachable(ConnectionError):
    """A tracking server, registry, database or orchestrator cannot be used now."""


def exit_code(error: BaseException) -> int:
    """Exit code of the public command for an error that ended it."""
    if isinstance(error, Verdict):
        return EXIT_NO
    if _extra_of(error):
        return EXIT_USAGE
    away = isinstance(error, ConnectionError) or is_prefect_away(error) or _is_mlflow_trouble(error)
    if away or is_full(error) or _disk_fault(error) or _database_fault(error):
        return EXIT_UNREACHABLE
    if isinstance(error, ValueError | MISPLACED) or _is_loop(error):
        return EXIT_USAGE
    return EXIT_DEFECT


def message_of(error: BaseException) -> str:
    """What to say of an error: one sentence, without the SQL or the class names of libraries."""
    if extra := _extra_of(error):
        return f"this needs the extra `{extra}`: pip install 'dagmm-pipeline[{extra}]'"
    if fault := _database_fault(error):
        return fault
    if (disk := _disk_fault(error)) is not None and not is_full(error):
        where = f"{disk.filename}: " if disk.filename else ""
        return f"{where}{disk.strerror or disk}"
    if isinstance(error, MISPLACED) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if why := no_connection(error):
        return why
    return str(error) or type(error).__name__


def no_connection(error: BaseException) -> str:
    """Which server does not answer, and why; empty for anything else."""
    found = NO_CONNECTION.search(str(error))
    if found is None:
        return ""
    return f"{found['host']}:{found['port']} does not answer: {found['why'] or found['late']}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, also as SQLAlchemy keeps it."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, getattr(each, "orig", None)]


def is_full(error: BaseException) -> bool:
    """Whether a disk, a quota or a limit of the size of files was hit, or caused the error."""
    full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    return any(
        (isinstance(each, OSError) and each.errno in full)
        or (isinstance(each, sqlite3.Error) and "disk is full" in str(each))
        for each in _chain(error)
    ) or "database or disk is full" in str(error)


def _disk_fault(error: BaseException) -> OSError | None:
    """The fault of a disk or of the machine's limits that caused an error."""
    faults = {errno.EROFS, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    faults |= {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ENODEV, errno.ENXIO}
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in faults:
            return each
    return None


def _database_fault(error: BaseException) -> str:
    """What SQLite reports about its file, with the remedy; empty for anything else."""
    texts = [str(each) for each in _chain(error) if isinstance(each, sqlite3.Error)]
    texts += re.findall(r"\(sqlite3\.\w+Error\) ([^\n\[]+)", str(error))
    for text in texts:
        for phrase, help_ in DATABASE_FAULTS.items():
            if phrase in text:
                return f"{STORES} cannot be used: {text.strip()}; {help_}"
    return ""


def _is_loop(error: BaseException) -> bool:
    """Whether a path leads round in a circle of links; pathlib says so without a class for it."""
    loop = isinstance(error, RuntimeError) and str(error).startswith("Symlink loop")
    return loop or (isinstance(error, OSError) and error.errno == errno.ELOOP)


def _extra_of(error: BaseException) -> str:
    """The extra whose absence caused an error, or an empty string."""
    missing = [each.name for each in _chain(error) if isinstance(each, ModuleNotFoundError)]
    return next((EXTRAS[name] for name in missing if name in EXTRAS), "")


def is_prefect_away(error: BaseException) -> bool:
    """Whether Prefect's server does not answer; its client has no class of its own for that."""
    if type(error).__module__.startswith("httpx"):
        return True
    return isinstance(error, RuntimeError) and str(error).startswith(PREFECT_IS_AWAY)


def remedy(error: BaseException) -> str:
    """What to do about a server or a disk; empty where the error itself says it."""
    if is_full(error):
        return "; make room, and the same command resumes where it stopped"
    if is_prefect_away(error):
        # Where nobody has set it, the server is one that the command starts itself.
        unset = " or unset PREFECT_API_URL" if os.environ.get("PREFECT_API_URL") else ""
        return f"; start Prefect there{unset}: the same command resumes" if unset else ""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "; a folder is needed there: name another one, or move the file away"
    if (disk := _disk_fault(error)) is not None:
        return f"; {DISK_FAULTS.get(disk.errno or 0, 'mend it, then the same command resumes')}"
    return ""


def is_transient(error: BaseException) -> bool:
    """Whether trying again could help: true for I/O, false for verdicts, bad input and defects.

    Nor does it help with a service for which whoever says that it is away has waited.
    """
    if isinstance(error, MISPLACED):
        return False
    if isinstance(error, ServiceUnreachable):
        return error.__cause__ is not None and is_transient(error.__cause__)
    if isinstance(error, OSError | sqlite3.OperationalError):
        return True
    return _is_mlflow_trouble(error)


def _is_mlflow_trouble(error: BaseException) -> bool:
    """Whether MLflow wrapped HTTP or database trouble in its own exception, by then imported."""
    return type(error).__name__ == "MlflowException" and getattr(error, "error_code", "") in {
        "TEMPORARILY_UNAVAILABLE",
        "INTERNAL_ERROR",
        "REQUEST_LIMIT_EXCEEDED",
    }
