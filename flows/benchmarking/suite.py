"""A suite: a folder of tables in ADBench's form, `.npz` files with rows `X` and labels `y`.

Nothing is known of such a table but its numbers: there is no contract, and nothing to encode.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from data_checks.contract.sections import Split as Shares
from flows.benchmarking.data import Prepared, prepared
from flows.benchmarking.protocols import Limits
from flows.common.errors import UsageError
from flows.stages.workspace import sha256_of

MOST_ROWS = 50_000
"""Of larger tables a sample of as many rows takes part, as in DTE's protocol."""
MOST_OF_DISK = 0.1
"""Of what is free, that an array may take; rows are laid out in up to eight times its size."""
COPIED_AT_A_TIME = 1 << 20
"""Numbers that are copied at a time."""


def tables_of(suite: str, names: Sequence[str], data_dir: Path) -> list[Path]:
    """The files of a suite's tables.

    Args:
        suite: Folder, or the name of one in the data directory, e.g. ``adbench``.
        names: Which of its tables, with or without their number; all unless given.
        data_dir: Folder of the data files.

    Raises:
        UsageError: No such folder, no table in it, or none of a name.
    """
    folder = next((f for f in (data_dir / suite, Path(suite)) if f.is_dir()), None)
    if folder is None:
        raise UsageError(
            f"--suite {suite}: neither {data_dir / suite} nor {Path(suite).absolute()} is a "
            "folder; put the .npz tables there (those of ADBench: github.com/Minqi824/ADBench, "
            "adbench/datasets/Classical) or set DAGMM_DATA_DIR"
        )
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise UsageError(f"--suite {suite}: no .npz table in {folder}")
    if not names:
        return files
    by_name = {name: file for file in files for name in (plain_name(file.stem), file.stem)}
    for name in names:
        if name not in by_name and name.lower() not in by_name:
            known = ", ".join(file.stem for file in files)
            raise UsageError(f"--datasets {name}: no such table in {folder}; there are {known}")
    chosen = (by_name.get(name) or by_name[name.lower()] for name in names)
    return list(dict.fromkeys(chosen))


def plain_name(stem: str) -> str:
    """Name of a table as publications have it: `22_magic.gamma` is magic.gamma."""
    number, _, name = stem.partition("_")
    return (name if number.isdigit() and name else stem).lower()


def prepare_table(file: Path, workspace: Path, limits: Limits) -> Prepared:
    """Check a table and lay it out for the workers, in bounded memory; kept for the next time.

    Raises:
        UsageError: It is not of ADBench's form, or has a value or a label that cannot be used.
    """
    folder = workspace / "benchmark" / f"{file.stem}-{sha256_of(file)[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "done").exists():
            _lay_out(file, folder)
            (folder / "done").touch()
    shares = Shares()
    return prepared(file.stem, folder, (shares.train, shares.validation, shares.test), limits)


def _lay_out(file: Path, folder: Path) -> None:
    """Write `rows.npy`, row by row, and `labels.npy`."""
    rows = _member(file, "X", folder)
    numeric = rows.dtype == bool or np.issubdtype(rows.dtype, np.number)
    if rows.ndim != 2 or not rows.shape[1] or not numeric or np.iscomplexobj(rows):
        raise UsageError(f"{file}: X is {rows.dtype} {rows.shape}; rows of real numbers are needed")
    given = _member(file, "y", folder)
    if len(rows) != given.size:
        raise UsageError(f"{file}: {len(rows)} rows in X and {given.size} labels in y")
    labels = _labels(file, given)
    kind = rows.dtype if rows.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    out = np.lib.format.open_memmap(folder / "rows.npy", "w+", kind, rows.shape)
    step = max(1, COPIED_AT_A_TIME // rows.shape[1])
    for start in range(0, len(rows), step):
        block = np.asarray(rows[start : start + step], dtype=kind)
        if not np.isfinite(block).all():
            row, column = np.argwhere(~np.isfinite(block))[0]
            raise UsageError(
                f"{file}: X has {block[row, column]} in row {start + row}, column {column}; "
                "impute or remove it"
            )
        out[start : start + step] = block
    out.flush()
    np.save(folder / "labels.npy", labels)
    (folder / "X.npy").unlink()
    (folder / "y.npy").unlink()


def _member(file: Path, name: str, folder: Path) -> np.ndarray[Any, Any]:
    """An array of the archive, unpacked into the folder and mapped from there."""
    try:
        unpacked = folder / f"{name}.npy"
        with (
            zipfile.ZipFile(file) as archive,
            archive.open(unpacked.name) as packed,
            unpacked.open("wb") as out,
        ):
            _refuse_too_large(file, archive.getinfo(unpacked.name).file_size, folder)
            shutil.copyfileobj(packed, out, COPIED_AT_A_TIME)
        return np.load(unpacked, mmap_mode="r", allow_pickle=False)
    except KeyError:
        raise UsageError(f"{file}: no array {name}; a table has rows X and labels y") from None
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, RuntimeError) as error:
        raise UsageError(f"{file}: array {name} cannot be read: {error}") from None


def _refuse_too_large(file: Path, size: int, folder: Path) -> None:
    """A few kilobytes can unpack to more than any disk holds; no more than is announced is read."""
    free = shutil.disk_usage(folder).free
    if size > free * MOST_OF_DISK:
        raise UsageError(
            f"{file}: unpacked it takes {size / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free in "
            f"{folder}; take a smaller table, or set DAGMM_HOME to a folder with more room"
        )


def _labels(file: Path, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Labels as bool ``(rows,)``, 1 for an anomaly."""
    labels = np.asarray(values).ravel()
    if not np.isin(labels, (0, 1)).all():
        odd = labels[~np.isin(labels, (0, 1))][0]
        raise UsageError(f"{file}: y holds {odd!r}; labels are 0 for normal and 1 for anomalous")
    labels = labels.astype(bool)
    if labels.all() or not labels.any():
        raise UsageError(f"{file}: y has one class only; both are needed to measure anything")
    return labels
