"""Downloads: resumed where they stopped, checked against a pinned digest, renamed when whole."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from data_checks.base.errors import ChecksumError, SourceError, UnreachableError
from data_checks.sources.integrity import file_sha256

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
