"""Where data is looked for: the data folder, and the few kinds of address that are read at all.

A contract may come from somebody else, so its addresses are not trusted: a protocol that is not
listed here, or one address inside another (`a::b`), could fetch from any host, or have text from
that host evaluated with what this process knows.
"""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from data_checks.base.errors import MissingDataError, SourceError

DATA_DIR_VARIABLE = "DAGMM_DATA_DIR"
STORES: dict[str, str | None] = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""Protocols of the object stores that are read, and the extra that each needs."""
_LOCAL = ("file", "local")


def default_data_dir() -> Path:
    """The data folder: `DAGMM_DATA_DIR`, else `dagmm-pipeline` in the user's cache folder."""
    if configured := os.environ.get(DATA_DIR_VARIABLE):
        return Path(configured).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "dagmm-pipeline"


def is_url(location: str) -> bool:
    """Whether a location is a URL rather than a local path."""
    return "://" in location


def protocol_of(location: str) -> str:
    """The protocol of a URL; empty for a local path."""
    return location.partition("://")[0].lower() if is_url(location) else ""


def names_files(url: str) -> bool:
    """Whether a URL is one of files, readable or not, rather than a database's."""
    protocol = protocol_of(url)
    chained = "::" in protocol or ("::" in url and url.count("://") > 1)
    return chained or protocol in (*STORES, *_LOCAL, "http", "https")


def file_location(location: str) -> str:
    """A location of files as the readers take it: a local path, or the URL of an object store.

    Raises:
        SourceError: an address inside another, another host's file, a protocol that is not read, or
            a name that no file can have.
    """
    if not is_url(location):
        return _path(location)
    protocol = protocol_of(location)
    if "::" in location:
        raise SourceError(
            f"{location.partition('::')[0][:80]!r}::...: one address inside another is not read; "
            "name the file itself."
        )
    if protocol in _LOCAL:
        url = urlsplit(location)
        if url.netloc not in ("", "localhost"):
            raise SourceError(
                f"{location[:80]!r}: a file of another host is not read; write file:///folder/file."
            )
        return _path(unquote(location.partition("://")[2].removeprefix("localhost")))
    if protocol not in STORES:
        remedy = (
            "download the file and name it, or give source.url with source.sha256 and --download"
            if protocol in ("http", "https")
            else f"files are read from local paths and {', '.join(f'{s}://' for s in STORES)}, a "
            "database where the contract has source.kind: sql and source.query"
        )
        raise SourceError(f"{protocol[:40]}:// is not read; {remedy}.")
    return protocol + location[len(protocol) :]


def _path(path: str) -> str:
    if "\0" in path:
        raise SourceError(f"{path[:80]!r}: a zero byte stands in the name; no file has such a one.")
    return path


def inside(folder: Path, file: str) -> Path:
    """Resolve a contract's file name inside the data folder.

    Raises:
        SourceError: the path leaves the folder, symbolic links followed.
    """
    path = folder / file
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise SourceError(
            f"source.file {file!r} leaves the data folder {folder}. Name a file inside it, set "
            "source.confined: false in the contract, or give the file with --data."
        )
    return path


def missing_file(name: str, path: Path, publisher: str, url: str | None) -> MissingDataError:
    """The one message for a data file that is not there."""
    source = publisher or "its publisher"
    address = f" ({url})" if url else ""
    fetch = " or allow the download with --download" if url else ""
    return MissingDataError(
        f"{name}: the file {path.name} is not there. Get it from {source}{address}, put it at "
        f"{path}{fetch}, or name another file with --data. "
        f"{DATA_DIR_VARIABLE} sets the data folder."
    )
