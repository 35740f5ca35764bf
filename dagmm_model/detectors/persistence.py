"""Detectors on disk: safetensors for arrays, JSON for the rest, no pickle, no torch."""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from dagmm_model.base.checkpoint import write_atomically
from dagmm_model.base.integrity import check_finite, check_finite_arrays, read_object
from dagmm_model.base.settings import plain_value
from dagmm_model.detectors.catalogue import CATALOGUE, entry
from dagmm_model.detectors.interface import Detector

FORMAT = 2
DESCRIPTION = "detector.json"
ARRAYS = "detector.safetensors"


class DetectorFileError(ValueError):
    """A folder that holds no detector this version can read."""


def save_detector(detector: Detector, folder: Path) -> None:
    """Write a fitted detector into a folder as ``detector.safetensors`` and ``detector.json``.

    Raises:
        ValueError: the detector is not fitted, or holds what does not go to disk.
    """
    values, arrays = detector.state()
    description = {"format": FORMAT, "name": detector.name, **values}
    text = json.dumps(description, indent=1, default=plain_value)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_atomically(folder / ARRAYS, save(contiguous))
    write_atomically(folder / DESCRIPTION, text.encode())


def load_detector(folder: Path) -> Detector:
    """Read a detector that `save_detector` wrote; its energies are the same to the last bit.

    Example:
        >>> import tempfile
        >>> from dagmm_model import DAGMM
        >>> rows = np.random.default_rng(0).normal(size=(60, 3))
        >>> detector = DAGMM(epochs=2, members=1, random_state=0).fit(rows)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_detector(detector, Path(folder))
        ...     again = load_detector(Path(folder))
        >>> bool((again.energy(rows) == detector.energy(rows)).all())
        True

    Raises:
        DetectorFileError: files missing, damaged or of another format.
    """
    folder = Path(folder)
    try:
        description = read_object(folder / DESCRIPTION)
        # A loss of a training that is told may be infinite; nothing that is computed with may.
        check_finite(description, without=("history",))
        arrays = load_file(folder / ARRAYS)
        check_finite_arrays(arrays)
    except (OSError, ValueError, SafetensorError) as error:
        raise DetectorFileError(
            f"{folder} holds no readable detector ({error}); give a folder written by save_detector"
        ) from error
    written, name = description.pop("format", None), description.pop("name", None)
    if written == 1:  # which held no other detector and wrote its name in capitals
        name = "dagmm"
    elif written != FORMAT or name not in CATALOGUE:
        raise DetectorFileError(
            f"{folder / DESCRIPTION} has format {written!r} of {name!r}, this version reads format "
            f"{FORMAT} of {', '.join(CATALOGUE)}; load it with the version that wrote it, or train "
            "again"
        )
    try:
        return entry(name).load().from_state(description, arrays)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DetectorFileError(
            f"{folder} is damaged ({type(error).__name__}: {error}); save it again"
        ) from error
