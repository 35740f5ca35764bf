"""Is what was read from a disk what may be computed with? Digests, and numbers that are numbers."""

import hashlib
import json
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class NotFinite(ValueError):
    """A number that must be finite is not."""


def sha256_of(
    path: Path, without: Collection[str] = (), moved: tuple[Path, Path] | None = None
) -> str:
    """sha256 of a file, or of the names and bytes of every file in a folder.

    Files and folders of the names ``without`` do not count; ``moved`` is a folder in the folder, by
    its relative path, and where it lies instead.
    """
    if not path.is_dir():
        return _content(path).hex()
    files = {file.relative_to(path): file for file in path.rglob("*") if file.is_file()}
    if moved is not None:
        part, place = moved
        files = {name: file for name, file in files.items() if part not in name.parents}
        files |= {part / f.relative_to(place): f for f in place.rglob("*") if f.is_file()}
    digest = hashlib.sha256()
    for name in sorted(files):
        if not set(without) & set(name.parts):
            digest.update(name.as_posix().encode() + b"\0" + _content(files[name]))
    return digest.hexdigest()


def _content(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no JSON object in UTF-8.
    """
    try:
        document = json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deeply") from None
    except ValueError as error:  # of JSON or of UTF-8
        raise ValueError(f"{path.name} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return document


def check_finite(values: Any, *, without: Collection[str] = ()) -> None:
    """Refuse NaN and infinities, which JSON as Python reads it can hold (also as ``1e999``).

    Keys of the outermost mapping of the JSON-able values may be left out.

    Raises:
        NotFinite: A number is not finite; the message has its name.
    """
    for place, value in _leaves(values, "", without):
        if isinstance(value, float) and not math.isfinite(value):
            raise NotFinite(f"{place} is {value}; it must be a finite number")


def check_finite_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Refuse arrays of floats that hold NaN or infinities.

    Raises:
        NotFinite: With the array's name, how many of its values are not finite.
    """
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise NotFinite(f"{bad} of {array.size} values of {name} are not finite")


def _leaves(values: Any, name: str, without: Collection[str] = ()) -> Iterator[tuple[str, Any]]:
    if isinstance(values, Mapping):
        for key, value in values.items():
            if key not in without:
                yield from _leaves(value, f"{name}.{key}".lstrip("."))
    elif isinstance(values, list | tuple):
        for place, value in enumerate(values):
            yield from _leaves(value, f"{name}[{place}]")
    else:
        yield name, values
