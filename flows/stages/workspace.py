"""The folder of one run: a record for each finished stage, so that a killed run resumes.

A run that died leaves its folder without a `finished` mark and, because the operating system drops
file locks with the process, without a lock. The same command then takes the folder over and starts
at the first stage whose record is missing.
"""

import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from dagmm_model.base.checkpoint import write_atomically
from dagmm_model.base.integrity import read_object, sha256_of
from flows.common import progress
from flows.common.errors import UsageError, is_full
from flows.common.value_types import json_sha256
from flows.stages.records import StageRecord

R = TypeVar("R", bound=StageRecord)
KEEP_FINISHED = 5
CHECKPOINTS = "checkpoints"

__all__ = ["alone", "open_run", "run_stage", "sha256_of", "write_atomic"]


@contextmanager
def alone(lock: Path, otherwise: str) -> Iterator[None]:
    """Be the only process in the block.

    Raises:
        UsageError: Another one is in it already; `otherwise` is what is said.
    """
    try:
        held = FileLock(lock).acquire(blocking=False)
    except Timeout:
        raise UsageError(otherwise) from None
    with held:
        yield


@contextmanager
def open_run(workspace: Path, key_parts: dict[str, str]) -> Iterator[Path]:
    """Take over the unfinished run of the same inputs, or start a new one; hold its lock.

    `key_parts` are all that decides the result: digests of configuration, contract, source.

    Yields:
        The run's folder, `workspace/runs/<key>-<nonce>`; its name ties everything that the run
        creates elsewhere to it. It counts as finished, and is never resumed, once the block ends
        without an error or with an answer that trying again cannot change (a `ValueError`).
    """
    key = json_sha256(key_parts)[:12]
    runs = workspace / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    unfinished = [folder for folder in sorted(runs.glob(f"{key}-*")) if not _finished(folder)]
    for folder in [*unfinished, runs / f"{key}-{uuid.uuid4().hex[:8]}"]:
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / "lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue  # another process is at work on the same inputs: start next to it
        with lock:
            if _finished(folder):
                continue
            if folder in unfinished:
                progress.note(f"resuming the unfinished run {folder.name}")
            try:
                yield folder
            except ValueError as error:
                if not is_full(error):
                    (folder / "finished").touch()
                raise
            (folder / "finished").touch()
        _prune(runs)
        return


def run_stage(
    run: Path,
    name: str,
    kind: type[R],
    work: Callable[[], R],
    later: Iterable[str] = (),
) -> R:
    """Do a stage once: its record, written last and atomically, says that it was done.

    The record holds digests of itself and of the files that the stage wrote. What is not as it was
    written is said, and the stage is done again with the `later` ones.
    """
    path = run / f"{name}.json"
    if path.exists():
        try:
            record = _read_record(run, path, kind)
        except ValueError as error:
            progress.note(f"{name}: done again, since {error}")
            for each in (name, *later):
                (run / f"{each}.json").unlink(missing_ok=True)
        else:
            progress.note(f"{name}: done before, kept")
            return record
    with progress.stage(name) as report:
        started, before = time.perf_counter(), _files(run)
        record = work().model_copy(update={"seconds": time.perf_counter() - started})
        report(record.summary())
    written = [file for file, state in _files(run).items() if before.get(file) != state]
    sealed = {
        "record": record.model_dump(mode="json"),
        "files": {file: sha256_of(run / file) for file in written},
    }
    write_atomic(path, json.dumps({"sha256": json_sha256(sealed), **sealed}, indent=2))
    return record


def _read_record(run: Path, path: Path, kind: type[R]) -> R:
    """A stage's record, compared with its digests.

    Raises:
        ValueError: It or a file of the stage is not as it was written; the message names which.
    """
    damaged = ValueError(f"its record {path} is damaged")
    try:
        document = read_object(path)
        if "record" not in document:  # of a run that the first version began, without digests
            return kind.model_validate_json(json.dumps(document))
        if document.pop("sha256") != json_sha256(document):
            raise damaged
        record = kind.model_validate_json(json.dumps(document["record"]))
        files = dict(document["files"])
    except (ValueError, LookupError, TypeError):
        raise damaged from None
    for file, sha256 in files.items():
        if not (run / file).is_file() or sha256_of(run / file) != sha256:
            raise ValueError(f"{run / file} is not as it was written")
    return record


def _files(run: Path) -> dict[str, int]:
    """Files of a run, and when each was written; checkpoints have a digest of their own."""
    files = (file for file in run.rglob("*") if file.is_file() and file.suffix != ".tmp")
    return {
        file.relative_to(run).as_posix(): file.stat().st_mtime_ns
        for file in files
        if file.name != "lock" and CHECKPOINTS not in file.parts
    }


def write_atomic(path: Path, text: str) -> None:
    """Write a text file so that it is there whole or not at all."""
    write_atomically(path, text.encode())


def _finished(folder: Path) -> bool:
    return (folder / "finished").exists()


def _prune(runs: Path) -> None:
    """Drop the folders of all but the newest finished runs; MLflow holds what is worth keeping."""
    finished = sorted(
        (folder for folder in runs.iterdir() if _finished(folder)),
        key=lambda folder: (folder / "finished").stat().st_mtime,
    )
    for folder in finished[:-KEEP_FINISHED]:
        shutil.rmtree(folder, ignore_errors=True)
