"""Opening files, local or behind an fsspec URL, decompressed by their ending."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from data_checks.errors import MissingDataError, SourceError, UnreachableError

_COMPRESSION = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".zstd": "zstd", ".lz4": "lz4"}


def is_url(location: str) -> bool:
    """Whether a location is an fsspec URL rather than a local path."""
    return "://" in location


def open_stream(location: str) -> Any:
    """Open a file for reading bytes, decompressed.

    Raises:
        SourceError: the file is missing, not readable, or its file system is not installed.
    """
    codec = next((c for end, c in _COMPRESSION.items() if location.lower().endswith(end)), None)
    if is_url(location):
        raw = pa.PythonFile(open_url(location), mode="r")
        return pa.CompressedInputStream(raw, codec) if codec else raw
    try:
        return pa.input_stream(location, compression=codec)
    except FileNotFoundError as error:
        raise MissingDataError(f"{location}: no such file.") from error
    except (PermissionError, IsADirectoryError) as error:
        raise SourceError(f"{location}: cannot be read: {error.strerror}.") from error
    except OSError as error:
        raise SourceError(f"{location}: cannot be read: {_reason(location, error)}.") from error


def _reason(location: str, error: OSError) -> str:
    return "it is a folder" if Path(location).is_dir() else str(error)


def open_url(url: str) -> Any:
    """Open an fsspec URL for reading bytes.

    Credentials come from the environment, as each file system's library reads them.

    Raises:
        SourceError: the file is missing or its file system is not installed.
    """
    filesystem, path = url_filesystem(url)
    try:
        return filesystem.open(path, "rb")
    except FileNotFoundError as error:
        raise MissingDataError(f"{url}: no such file.") from error
    except PermissionError as error:
        raise SourceError(f"{url}: access denied; check the credentials.") from error
    except OSError as error:
        raise UnreachableError(f"{url}: cannot be reached: {error}.") from error


def url_filesystem(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path within it.

    Raises:
        SourceError: the protocol is unknown or its package is not installed.
    """
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        scheme = url.partition("://")[0]
        raise SourceError(
            f"{scheme}:// cannot be read here: {error}. Install the fsspec package for it."
        ) from error
    return filesystem, path
