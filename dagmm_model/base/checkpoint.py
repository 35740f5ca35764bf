"""Checkpoints: one file, written atomically, refused when it belongs to another run.

The file is in the safetensors format; everything that is not an array is JSON in its header. One
file, replaced in one step, is never half of an old and half of a new state.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from dagmm_model.base.distributed import ALONE, Ranks

FILE = "checkpoint.safetensors"
FORMAT = "2"
WITHOUT_DIGEST = "1"
"""Format of the first version, whose checkpoints carry none."""

Arrays = dict[str, NDArray[np.generic]]
T = TypeVar("T")


class TrainingStopped(Exception):
    """The training was asked to stop; its checkpoint holds everything that was trained."""


class CheckpointMismatch(ValueError):
    """The checkpoint in the folder belongs to other settings or other data, or is damaged."""


class CheckpointDamaged(CheckpointMismatch):
    """The checkpoint in the folder is not as it was written."""


REMEDY = "remove it to train from the start"


@dataclass(frozen=True)
class Checkpointing:
    """Write checkpoints into a folder and resume from the one that is there.

    A finished run leaves its last checkpoint: the same run started again ends at once.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from dagmm_model import DAGMM
        >>> rows = np.random.default_rng(0).normal(size=(60, 3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = Checkpointing(Path(folder), every_seconds=10.0)
        ...     detector = DAGMM(epochs=2, random_state=0).fit(rows, checkpoint=place)
        ...     (Path(folder) / FILE).exists()
        True

    Attributes:
        folder: made when missing; one training run has one folder.
        every_seconds: time between two checkpoints; 0 for one after every piece of work.
        data_digest: digest of the training data, if the caller has one; the digest of the scaled
            rows is compared in any case.
        stop: asked after every piece of work; once it says yes, a checkpoint is written and
            `TrainingStopped` raised.
    """

    folder: Path
    every_seconds: float = 30.0
    data_digest: str = ""
    stop: Callable[[], bool] = lambda: False


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old or the new content, never a part."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def digest(*arrays: NDArray[np.generic] | None) -> str:
    """SHA-256 of the arrays' types, shapes and bytes; None counts as an absent array."""
    result = hashlib.sha256()
    for array in arrays:
        if array is None:
            result.update(b"none")
        else:
            result.update(f"{array.dtype.str}{array.shape}".encode())
            result.update(np.ascontiguousarray(array).data)
    return result.hexdigest()


def under(prefix: str, values: Mapping[str, T]) -> dict[str, T]:
    """What stands under names that begin so, by the rest of its name."""
    return {n.removeprefix(prefix): v for n, v in values.items() if n.startswith(prefix)}


class CheckpointStore:
    """Reads and writes the checkpoint of one run; of several ranks, the first one's.

    The ranks call its methods together: what was read reaches all, and all stop where one is to.
    The identity is JSON-able, and what makes the run this run: settings, seeds, digests, engine. A
    checkpoint from before there was a setting was written with the default of that.
    """

    def __init__(
        self,
        place: Checkpointing,
        identity: Mapping[str, Any],
        ranks: Ranks = ALONE,
        defaults: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._path = Path(place.folder) / FILE
        self._every = place.every_seconds
        self._stop, self._ranks = place.stop, ranks
        self._defaults = json.loads(json.dumps(dict(defaults)))
        self._identity = json.loads(json.dumps({**identity, "data_digest": place.data_digest}))
        self._written = time.monotonic()
        self._stopping = False

    def due(self) -> bool:
        """Whether the interval has passed since the last one, or the training has to stop."""
        over = time.monotonic() - self._written >= self._every
        wanted = self._ranks.sum(np.array([float(self._stop()), float(over)]))
        self._stopping = bool(wanted[0])
        return bool(wanted.any())

    def write(self, arrays: Arrays, values: Mapping[str, Any]) -> None:
        """Replace the checkpoint.

        Raises:
            TrainingStopped: It is written, and the training has to stop.
        """
        if self._ranks.first:
            self._replace(arrays, values)
        self._written = time.monotonic()
        if self._stopping or (self._ranks.alone and self._stop()):
            raise TrainingStopped(f"stopped; {self._path} holds what was trained")

    def _replace(self, arrays: Arrays, values: Mapping[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        header = {
            "format": FORMAT,
            "identity": json.dumps(self._identity),
            "values": json.dumps(values),
        }
        contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        header["sha256"] = _digest_of(contiguous, header)
        write_atomically(self._path, save(contiguous, metadata=header))

    def read(self) -> tuple[Arrays, dict[str, Any]] | None:
        """The checkpoint, or None when there is none.

        Raises:
            CheckpointMismatch: it cannot be read, or belongs to another run; the message names
                the first difference.
        """
        state = self._read_own() if self._ranks.first else None
        if self._ranks.alone:
            return state
        arrays = self._ranks.from_first(None if state is None else save(state[0]))
        values = self._ranks.from_first(None if state is None else json.dumps(state[1]).encode())
        return None if arrays is None or values is None else (load(arrays), json.loads(values))

    def _read_own(self) -> tuple[Arrays, dict[str, Any]] | None:
        for torn in self._path.parent.glob(f".{FILE}.*.tmp"):  # left by a kill within a write
            torn.unlink(missing_ok=True)
        if not self._path.exists():
            return None
        try:
            header, arrays = _read(self._path)
            identity, values = json.loads(header["identity"]), json.loads(header["values"])
            if self._defaults:
                identity["settings"] = {**self._defaults, **identity["settings"]}
        except (KeyError, json.JSONDecodeError) as error:
            raise CheckpointDamaged(f"{self._path} is damaged ({error}); {REMEDY}") from error
        difference = _difference("", identity, self._identity)
        if difference:
            raise CheckpointMismatch(
                f"{self._path} belongs to another run: {difference}; give the run that wrote it, "
                "another folder, or remove the file to train from the start"
            )
        return arrays, values


def damage(folder: Path) -> str:
    """Why the checkpoint in a folder cannot be read; empty when it can, or there is none."""
    path = Path(folder) / FILE
    try:
        if path.exists():
            _read(path)
    except CheckpointMismatch as error:
        return str(error).removesuffix(f"; {REMEDY}")
    return ""


def _read(path: Path) -> tuple[dict[str, str], Arrays]:
    """Header and arrays of a checkpoint that is as it was written.

    Raises:
        CheckpointDamaged: It is not.
        CheckpointMismatch: It has a format that this version does not read.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = dict(file.metadata() or {})
            arrays: Arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        written = header.get("format")
        intact = written != FORMAT or header.pop("sha256") == _digest_of(arrays, header)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointDamaged(
            f"{path} is damaged: it cannot be read ({error}); {REMEDY}"
        ) from error
    if not intact:
        raise CheckpointDamaged(f"{path} is damaged: it is not as it was written; {REMEDY}")
    if written not in (FORMAT, WITHOUT_DIGEST):
        raise CheckpointMismatch(
            f"{path} has format {written!r}, this version reads {FORMAT!r}; {REMEDY}"
        )
    return header, arrays


def _digest_of(arrays: Mapping[str, NDArray[np.generic]], header: Mapping[str, str]) -> str:
    names = sorted(arrays)
    text = json.dumps([dict(sorted(header.items())), names])
    return hashlib.sha256(f"{text}{digest(*(arrays[n] for n in names))}".encode()).hexdigest()


def _difference(name: str, there: Any, here: Any) -> str:
    """The first difference between two JSON values, in words; empty when equal.

    First in the order of ``here``: a setting comes before the digests that follow from it.
    """
    if isinstance(there, dict) and isinstance(here, dict):
        for key in (*here, *(key for key in there if key not in here)):
            difference = _difference(f"{name}.{key}".lstrip("."), there.get(key), here.get(key))
            if difference:
                return difference
        return ""
    return "" if there == here else f"{name} is {there!r} there and {here!r} here"
