"""Files that appear whole or not at all."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from data_checks.base.errors import SourceError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS)


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Yield a temporary path beside `out`; rename it on success, remove it on any error.

    Raises:
        SourceError: the disk is full, or the folder may not be written.
    """
    part = out.with_name(f".{out.name}.{uuid4().hex[:8]}.part")
    try:
        with explaining_write_errors(out):
            yield part
            part.replace(out)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replacing_folder(out: Path) -> Iterator[Path]:
    """As `replacing`, for a folder.

    An older one is moved aside before the new one takes its place: no reader sees a mixture of
    both, but for an instant there may be neither.

    Raises:
        SourceError: the disk is full, or the folder may not be written.
    """
    part = out.with_name(f".{out.name}.{uuid4().hex[:8]}.part")
    old = part.with_suffix(".old")
    try:
        with explaining_write_errors(out):
            part.mkdir()
            yield part
            if out.exists():
                out.rename(old)
            part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def explaining_write_errors(out: Path) -> Iterator[None]:
    """Turn a full disk, or a folder that may not be written, into one message.

    Raises:
        SourceError: naming the file or folder that was to be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise SourceError(f"{out}: cannot be written: {os.strerror(error.errno)}.") from error
