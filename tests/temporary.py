"""Folders of servers that run as somebody else, who may not enter those of pytest."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_checks.base.scratch import scratch_folder


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter; what killed tests have left goes with the next one."""
    root = Path(tempfile.gettempdir(), "dagmm-tests")
    root.mkdir(mode=0o755, exist_ok=True)
    with scratch_folder(root) as folder:
        folder.chmod(0o755)
        yield folder
