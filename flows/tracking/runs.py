"""Runs begin, or go on where an interrupted call began them; each says by what code it was made."""

import getpass
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from mlflow.tracking import MlflowClient

from flows.stages.workspace import sha256_of
from flows.tracking.ending import ERROR
from flows.tracking.queries import equals

PROJECT = Path(__file__).resolve().parents[2]


def begin(
    client: MlflowClient,
    experiment: str,
    title: str,
    command: str,
    tags: Mapping[str, str],
    once: str = "",
) -> str:
    """Begin a run of a command in an experiment, or go on with it; its id.

    `once` is the one of its tags by which it is found again; without, each call makes a new one.
    """
    found = once and client.search_runs([experiment], equals(f"tags.`{once}`", tags[once]))
    if not found:
        created = client.create_run(experiment, tags={**tags, **origin(command)}, run_name=title)
        return str(created.info.run_id)
    run_id = str(found[0].info.run_id)
    client.update_run(run_id, status="RUNNING")
    if ERROR in found[0].data.tags:
        client.delete_tag(run_id, ERROR)
    return run_id


def origin(command: str) -> dict[str, str]:
    """Tags of a run that say who made it, with what command and what code."""
    commit, dirty = git_state()
    return {
        "mlflow.source.git.commit": commit,
        "dagmm.git_dirty": dirty,
        "mlflow.user": getpass.getuser(),
        "mlflow.source.name": command,
        "mlflow.source.type": "LOCAL",
    }


@cache
def git_state() -> tuple[str, str]:
    """Commit of the code and whether it has local changes; `unknown` outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit, "true" if _git("status", "--porcelain") else "false"
    except (OSError, subprocess.CalledProcessError):
        return "unknown", "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(  # noqa: S603
        ["git", "-C", str(PROJECT), *arguments],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def lock_digest() -> str:
    """sha256 of the pinned versions; `unknown` where the file is not there."""
    lock = PROJECT / "constraints.txt"
    return sha256_of(lock) if lock.exists() else "unknown"
