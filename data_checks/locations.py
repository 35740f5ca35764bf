"""Where data files are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from data_checks.errors import MissingDataError, SourceError

DATA_DIR_VARIABLE = "DAGMM_DATA_DIR"


def default_data_dir() -> Path:
    """The data folder: `DAGMM_DATA_DIR`, else `dagmm-pipeline` in the user's cache folder."""
    if configured := os.environ.get(DATA_DIR_VARIABLE):
        return Path(configured).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "dagmm-pipeline"


def inside(folder: Path, file: str) -> Path:
    """Resolve a contract's file name inside the data folder.

    Args:
        folder: the data folder.
        file: relative path, as the contract states it.

    Raises:
        SourceError: the path is absolute or leaves the folder, symbolic links followed.
    """
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise SourceError(
            f"source.file {file!r} leaves the data folder {folder}. Name a file inside it, set "
            "source.confined: false in the contract, or give the file with --data."
        )
    return path


def missing(name: str, path: Path, publisher: str, url: str | None) -> MissingDataError:
    """The one message for a data file that is not there."""
    source = publisher or "its publisher"
    address = f" ({url})" if url else ""
    fetch = " or allow the download with --download" if url else ""
    return MissingDataError(
        f"{name}: the file {path.name} is not there. Get it from {source}{address}, put it at "
        f"{path}{fetch}, or name another file with --data. "
        f"{DATA_DIR_VARIABLE} sets the data folder."
    )
