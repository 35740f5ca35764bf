"""Saved models: a detector, or a bundle with all that scores beside it.

Safetensors for arrays, JSON for the rest, no pickle, no torch.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save, save_file

from dagmm_model.base.arrays import Float
from dagmm_model.base.checkpoint import write_atomically
from dagmm_model.base.integrity import check_finite, check_finite_arrays, read_object
from dagmm_model.base.settings import plain_value
from dagmm_model.detectors.bundle import ScoringBundle
from dagmm_model.detectors.catalogue import CATALOGUE, entry
from dagmm_model.detectors.interface import Detector
from dagmm_model.evaluation.threshold import Threshold
from dagmm_model.tables.preprocessing import Encoder

DETECTOR_FORMAT = 2
BUNDLE_FORMAT = 1
DESCRIPTION = "detector.json"
ARRAYS = "detector.safetensors"


class DetectorFileError(ValueError):
    """A folder that holds no detector this version can read."""


class BundleError(ValueError):
    """A folder is not a scoring bundle that this version reads."""


def save_detector(detector: Detector, folder: Path) -> None:
    """Write a fitted detector into a folder as ``detector.safetensors`` and ``detector.json``.

    Raises:
        ValueError: the detector is not fitted, or holds what does not go to disk.
    """
    values, arrays = detector.state()
    description = {"format": DETECTOR_FORMAT, "name": detector.name, **values}
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
    elif written != DETECTOR_FORMAT or name not in CATALOGUE:
        raise DetectorFileError(
            f"{folder / DESCRIPTION} has format {written!r} of {name!r}, this version reads format "
            f"{DETECTOR_FORMAT} of {', '.join(CATALOGUE)}; load it with the version that wrote "
            "it, or train again"
        )
    try:
        return entry(name).load().from_state(description, arrays)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DetectorFileError(
            f"{folder} is damaged ({type(error).__name__}: {error}); save it again"
        ) from error


def save_bundle(bundle: ScoringBundle, folder: Path) -> None:
    """Write a bundle as JSON and safetensors; `folder` must not exist."""
    folder.mkdir(parents=True)
    save_detector(bundle.detector, folder / "detector")
    save_file({"calibration": bundle.calibration}, folder / "calibration.safetensors")
    state = {
        "format": BUNDLE_FORMAT,
        "encoder": bundle.encoder.to_dict(),
        "threshold": asdict(bundle.threshold),
    }
    (folder / "bundle.json").write_text(json.dumps(state, indent=2), encoding="utf-8")


def exchange_threshold(folder: Path, threshold: Threshold) -> None:
    """Give a saved bundle another threshold; every other byte of it stays."""
    file = folder / "bundle.json"
    state = json.loads(file.read_text(encoding="utf-8"))
    text = json.dumps({**state, "threshold": asdict(threshold)}, indent=2)
    file.write_text(text, encoding="utf-8")


def load_bundle(folder: Path) -> ScoringBundle:
    """Read what `save_bundle` wrote.

    Raises:
        BundleError: A file is missing or damaged, a number that scores are computed from is not
            finite, or the bundle has another format.
    """
    try:
        return _read(folder)
    except FileNotFoundError as error:
        raise BundleError(
            f"{folder} holds no {Path(error.filename or '').name}: not a scoring bundle"
        ) from None
    except BundleError:
        raise
    except (OSError, LookupError, TypeError, ValueError, AttributeError, SafetensorError) as error:
        raise BundleError(f"{folder} is damaged: {error}") from error


def energies(folder: Path, table: Mapping[str, Any]) -> Float:
    """Energies of raw rows by a saved bundle, nats, float64 of shape ``(rows,)``.

    Rows that another model was made for may hold levels that this one never saw.

    Raises:
        BundleError: See `load_bundle`.
        EncodingError: The rows are not what it takes.
    """
    return load_bundle(folder).taking_new_levels().score(table).energy


def _read(folder: Path) -> ScoringBundle:
    state = read_object(folder / "bundle.json")
    if state.get("format") != BUNDLE_FORMAT:
        raise BundleError(
            f"{folder} has bundle format {state.get('format')}, this version reads "
            f"{BUNDLE_FORMAT}; score it with the version that wrote it, or train again"
        )
    check_finite(state)
    arrays = load_file(folder / "calibration.safetensors")
    check_finite_arrays(arrays)
    calibration = arrays["calibration"]
    if calibration.ndim != 1 or (np.diff(calibration) < 0).any():
        raise BundleError(f"{folder}: the calibration energies are not in ascending order")
    threshold = Threshold(**state["threshold"])
    if type(threshold.value) not in (int, float):
        raise BundleError(f"{folder}: threshold.value is {threshold.value!r}, not a number")
    return ScoringBundle(
        Encoder.from_dict(state["encoder"]),
        load_detector(folder / "detector"),
        threshold,
        calibration,
    )
