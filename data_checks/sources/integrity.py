"""Is a file the one it should be, did it stay the same while it was read, and is it whole?

Downloads are resumed where they stopped, checked against a pinned digest, renamed when whole.
"""

import hashlib
import os
import shutil
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_checks.base.errors import ChecksumError, SourceError, UnreachableError
from data_checks.base.locations import is_url
from data_checks.contract.model import ROW_ID, UNPARSED_COLUMN, Contract
from data_checks.contract.source_settings import CsvSource, FileSource
from data_checks.readers.csv.head import read_head
from data_checks.readers.database.sql import safe_name
from data_checks.readers.opening import open_url, store_errors


def file_sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified_sha256(contract: Contract, location: str, *, pinned: bool) -> str | None:
    """Digest of the source file; None for what is not one file.

    What the contract pins is compared only where `pinned`: it is about this location.

    Raises:
        ChecksumError: the content is not the pinned one, or not that of one file.
    """
    source = contract.source
    expected = source.sha256 if pinned and isinstance(source, FileSource) else None
    single = isinstance(source, FileSource) and not location.startswith("sklearn:")
    if single and is_url(location):
        # A remote file is read twice only when its content has to be verified.
        actual = None
        if expected is not None:
            with open_url(location) as file, store_errors(location):
                actual = hashlib.file_digest(file, "sha256").hexdigest()
    elif single and Path(location).is_file():
        try:
            actual = file_sha256(Path(location))
        except OSError as error:
            raise SourceError(f"{location}: cannot be read: {error.strerror}.") from error
    else:
        actual = None
    if expected is not None and actual is None:
        raise ChecksumError(
            f"{location}: source.sha256 pins the content of one file; this is not one."
        )
    if expected is not None and actual != expected:
        raise ChecksumError(
            f"{shown(location)}: not the file that the contract pins: sha256 is {actual}, expected "
            f"{expected}. Get it again from {source.publisher or 'its publisher'}."
        )
    return actual


def file_state(location: str) -> tuple[int, int, int] | None:
    """Identity, size and time of change of a local file; None for anything else."""
    if location.startswith("sklearn:") or is_url(location):
        return None
    try:
        state = os.stat(location)  # noqa: PTH116
    except OSError:
        return None
    return (state.st_ino, state.st_size, state.st_mtime_ns)


def changed(location: str) -> SourceError:
    """The error of a source that was written to meanwhile."""
    return SourceError(
        f"{shown(location)}: the file changed while it was being read; try again when nobody "
        "writes to it."
    )


def shown(location: str) -> str:
    """A location as messages and records show it: without credentials."""
    return safe_name(location) if is_url(location) else location


def refuse_swallowed_rows(table: pa.Table, location: str, settings: CsvSource) -> None:
    """A quote that is never closed swallows whole rows into one value; nothing else would tell.

    Such a value has a line break, and the delimiters of a row: with fewer of them the row that it
    is in would not have the fields of the others. Text of several lines usually has fewer.

    Raises:
        SourceError: there is one.
    """
    delimiters = -1
    for name in table.column_names:
        column = table.column(name)
        if not pa.types.is_string(column.type):
            continue
        # Unreadable values are kept as JSON, where a line break is written as an escape.
        marks = r"\\[nr]" if name == UNPARSED_COLUMN else "[\n\r]"
        broken = pc.fill_null(pc.match_substring_regex(column, marks), False)
        if not pc.any(broken).as_py():
            continue
        if delimiters < 0:
            delimiters = len(read_head(location, settings).rows[0]) - 1
        counted = pc.count_substring(column, settings.delimiter)
        swallowed = pc.and_(broken, pc.greater_equal(counted, delimiters))
        broken_rows = np.flatnonzero(pc.fill_null(swallowed, False).to_numpy())
        if len(broken_rows):
            row = table.column(ROW_ID)[int(broken_rows[0])].as_py()
            where = "a value" if name == UNPARSED_COLUMN else f"column '{name}'"
            raise SourceError(
                f"{shown(location)}, row {row} (counted from 0): {where} runs over several lines "
                "and holds a whole row: probably a quote that is never closed."
            )


TIMEOUT_SECONDS = 60.0
_CHUNK_BYTES = 1 << 20


def download(url: str, target: Path, sha256: str) -> Path:
    """Fetch a file once; a second call finds it and fetches nothing.

    A broken transfer leaves `target.part`, which the next call continues when the server supports
    ranges. The digest is checked over the whole file before the rename.

    Raises:
        UnreachableError: the server did not answer, or the transfer broke off.
        ChecksumError: the content is not the pinned one; the partial file is removed.
        SourceError: the address is not http(s), or the file cannot be written.
    """
    if target.is_file() and file_sha256(target) == sha256:
        return target
    if not url.startswith(("https://", "http://")):
        raise SourceError(f"{url}: only http(s) addresses are downloaded.")
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, part)
    except urllib.error.HTTPError as error:
        raise UnreachableError(
            f"{url}: the server answered {error.code} {error.reason}."
        ) from error
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise UnreachableError(
            f"{url}: the download broke off ({reason}); the same command continues it."
        ) from error
    except OSError as error:
        raise SourceError(f"{part}: cannot be written: {error.strerror}.") from error
    actual = file_sha256(part)
    if actual != sha256:
        part.unlink()
        raise ChecksumError(
            f"{url}: sha256 of the download is {actual}, the contract pins {sha256}; it was "
            "removed."
        )
    os.replace(part, target)  # noqa: PTH105
    return target


def _fetch(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            return  # nothing after what is here: the digest decides
        raise
    with response:
        resumed = response.status == 206
        with part.open("ab" if resumed else "wb") as file:
            shutil.copyfileobj(response, file, _CHUNK_BYTES)
        length = response.headers.get("Content-Length")
        received = part.stat().st_size - (have if resumed else 0)
        if length is not None and received < int(length):
            raise ConnectionError(f"{received:,} of {int(length):,} bytes arrived")
