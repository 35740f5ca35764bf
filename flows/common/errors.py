"""Errors a user meets, and the exit code each one means."""

from __future__ import annotations

import errno
import sqlite3

EXIT_DONE = 0
EXIT_NO = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_DEFECT = 70
EXIT_INTERRUPTED, EXIT_TERMINATED = 130, 143  # as shells report SIGINT and SIGTERM


PREFECT_IS_AWAY = (
    "Failed to reach API at",
    "Timed out while attempting to connect to ephemeral Prefect API server",
)


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
    away = isinstance(error, ConnectionError) or is_prefect_away(error) or _is_mlflow_trouble(error)
    if away or is_full(error):
        return EXIT_UNREACHABLE
    if isinstance(error, ValueError | FileNotFoundError | PermissionError | NotADirectoryError):
        return EXIT_USAGE
    return EXIT_DEFECT


def is_full(error: BaseException) -> bool:
    """Whether a disk, a quota or a limit of the size of files was hit, or caused the error."""
    full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    if isinstance(error, OSError) and error.errno in full:
        return True
    return error.__cause__ is not None and is_full(error.__cause__)


def is_prefect_away(error: BaseException) -> bool:
    """Whether Prefect's server does not answer; its client has no class of its own for that."""
    if type(error).__module__.startswith("httpx"):
        return True
    return isinstance(error, RuntimeError) and str(error).startswith(PREFECT_IS_AWAY)


def remedy(error: BaseException) -> str:
    """What to do about a server or a disk; empty where the error itself says it."""
    if is_full(error):
        return "; make room: the same command goes on where it stopped"
    if is_prefect_away(error):
        return "; start Prefect there or unset PREFECT_API_URL: the same command goes on"
    return ""


def is_transient(error: BaseException) -> bool:
    """Whether trying again could help: true for I/O, false for verdicts, bad input and defects."""
    if isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError):
        return False
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
