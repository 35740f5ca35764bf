"""Is a file the one it should be, did it stay the same while it was read, and is it whole?"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_checks.base.errors import ChecksumError, SourceError
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
