"""Where a server of this home answers: a file that counts while the process that wrote it lives."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def announced(file: Path, address: str) -> Iterator[None]:
    """Say in `file` where a server answers, for the block; the first of several is heard.

    The lock, not the file, says that it does: the system takes it from a process that is killed.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+", encoding="utf-8") as mine:
        try:
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another one's, or a disk without locks
            yield
            return
        mine.truncate(0)
        mine.write(address)
        mine.flush()
        yield


def announced_address(file: Path) -> str | None:
    """What a process that still lives said in `file`."""
    try:
        with file.open(encoding="utf-8") as theirs:
            try:
                fcntl.flock(theirs, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return theirs.read() or None
    except OSError:  # there is none, or the disk has no locks
        pass
    return None
