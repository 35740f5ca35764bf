"""Private folders for a moment, which a killed process cannot leave for ever."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def scratch_folder(root: Path | None = None) -> Iterator[Path]:
    """A folder that is gone when the block ends, or, of a process that was killed, with the next.

    It is locked for as long as its process lives: what lies unlocked beside it has lost its own.

    Args:
        root: Holds such folders and nothing else; one of this user's, which nobody else may enter,
            in the system's folder for temporary files unless given.

    Yields:
        Its path.
    """
    root = Path(tempfile.gettempdir(), f"dagmm-{os.getuid()}") if root is None else root
    with suppress(FileExistsError):  # also as a file
        root.mkdir(mode=0o700)
    status = root.lstat()
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    if not ours:  # somebody was here first: nothing there is touched
        with tempfile.TemporaryDirectory() as private:
            yield Path(private)
        return
    folder, lock = _made(root)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _made(root: Path) -> tuple[Path, int]:
    """A new folder below the root, and its lock; what others have lost is removed before."""
    root_lock = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(root_lock, fcntl.LOCK_EX)  # between its making and its lock nobody may find it
        for lost in root.iterdir():
            if (lock := _locked(lost)) is not None:
                shutil.rmtree(lost, ignore_errors=True)
                os.close(lock)
        folder = Path(tempfile.mkdtemp(dir=root))
        lock = _locked(folder)
        assert lock is not None
        return folder, lock
    finally:
        os.close(root_lock)


def _locked(folder: Path) -> int | None:
    """The lock of a folder; none where another process has it, or where there is no folder."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock
