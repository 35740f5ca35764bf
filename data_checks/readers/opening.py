"""Opening files, local or in an object store, decompressed by their ending."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from data_checks.base.errors import MissingDataError, SourceError, UnreachableError
from data_checks.base.locations import STORES, file_location, is_url, protocol_of

_COMPRESSION = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".zstd": "zstd", ".lz4": "lz4"}


def open_stream(location: str) -> Any:
    """Open a file for reading bytes, decompressed.

    Raises:
        SourceError: the file is missing, not readable, or its file system is not installed.
    """
    codec = next((c for end, c in _COMPRESSION.items() if location.lower().endswith(end)), None)
    if is_url(location):
        raw = pa.PythonFile(open_url(location), mode="r")
        return pa.CompressedInputStream(raw, codec) if codec else raw
    refuse_pipe(location)
    try:
        return pa.input_stream(location, compression=codec)
    except FileNotFoundError as error:
        raise MissingDataError(f"{location}: no such file.") from error
    except (PermissionError, IsADirectoryError) as error:
        raise SourceError(f"{location}: cannot be read: {error.strerror}.") from error
    except OSError as error:
        reason = "it is a folder" if Path(location).is_dir() else error
        raise SourceError(f"{location}: cannot be read: {reason}.") from error


def refuse_pipe(location: str) -> None:
    """Refuse what gives its bytes once; opening it might already wait for ever.

    Raises:
        SourceError: it is neither a file nor a folder.
    """
    path = Path(location)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise SourceError(
            f"{location}: not a file; a table is looked at before it is read, which a pipe does "
            "not allow. Save the rows to a file."
        )


def open_url(url: str) -> Any:
    """Open the URL of an object store for reading bytes.

    Credentials come from the environment, as each file system's library reads them.

    Raises:
        SourceError: the file is missing or its file system is not installed.
    """
    filesystem, path = url_filesystem(url)
    with store_errors(url):
        return _RemoteFile(url, filesystem.open(path, "rb"))


@contextmanager
def store_errors(url: str) -> Iterator[None]:
    """Turns whatever a remote store's library raises into one of our errors.

    Raises:
        MissingDataError: no such file.
        SourceError: the store refuses access.
        UnreachableError: anything else: no credentials, no network, a server's error.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise MissingDataError(f"{url}: no such file.") from error
    except PermissionError as error:
        raise SourceError(f"{url}: access denied; check the credentials.") from error
    except Exception as error:  # every store's library has exceptions of its own
        message = (str(error).splitlines() or [""])[0]
        raise UnreachableError(
            f"{url}: cannot be read: {type(error).__name__}: {message}. Check the network, and the "
            "credentials in the environment."
        ) from error


class _RemoteFile:
    """A remote file whose reads report as `store_errors` does, also in the middle of a table."""

    def __init__(self, url: str, file: Any) -> None:
        self._url, self._file = url, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        with store_errors(self._url):
            data: bytes = self._file.read(size)
        return data


def url_filesystem(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path within it: the only way to any of them.

    Raises:
        SourceError: the protocol is not one that is read, or its package is not installed.
    """
    protocol = protocol_of(file_location(url))
    import fsspec

    try:
        filesystem = fsspec.filesystem(protocol)
    except (ValueError, ImportError) as error:
        extra = STORES[protocol]
        raise SourceError(
            f"{protocol}:// cannot be read here: {error}; pip install 'dagmm-pipeline[{extra}]'."
        ) from error
    return filesystem, filesystem._strip_protocol(url)
