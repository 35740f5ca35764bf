"""Detectors on disk: safetensors for arrays, JSON for the rest, no pickle, no torch."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from dagmm_model.checkpoint import write_atomically
from dagmm_model.inference import Scorer
from dagmm_model.mixture import Mixture
from dagmm_model.presets import Settings
from dagmm_model.progress import record_from
from dagmm_model.scaling import Scaler

if TYPE_CHECKING:
    from dagmm_model.estimator import DAGMM

FORMAT = 1
DESCRIPTION = "detector.json"
ARRAYS = "detector.safetensors"
MIXTURE = ("phi", "mu", "sigma")


class DetectorFileError(ValueError):
    """A folder that holds no detector this version can read."""


def settings_from(values: dict[str, Any]) -> Settings:
    """Settings from their JSON form, in which tuples are lists."""
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return Settings(**plain)


def save_detector(detector: DAGMM, folder: Path) -> None:
    """Write a fitted detector into a folder as ``detector.safetensors`` and ``detector.json``.

    Raises:
        sklearn.exceptions.NotFittedError: the detector is not fitted.
        DetectorFileError: ``random_state`` is a generator, which JSON does not hold.
    """
    mixtures = detector.mixtures_
    scorer, scaler = detector._scorer, detector._scaler
    params = detector.get_params(deep=False)
    if not isinstance(params["random_state"], (int, np.integer, type(None))):
        raise DetectorFileError("random_state is a generator; set it to an integer or None to save")
    arrays: dict[str, NDArray[Any]] = {
        "latent_mean": scorer.latent_mean,
        "latent_scale": scorer.latent_scale,
        "energy_mean": scorer.energy_mean,
        "energy_scale": scorer.energy_scale,
        "scaler.centre": scaler.centre,
        "scaler.scale": scaler.scale,
    }
    for s, mixture in enumerate(mixtures):  # members may keep different numbers of components
        arrays |= {f"mixture.{s}.{name}": getattr(mixture, name) for name in MIXTURE}
    for name in ("mean", "rotation", "back"):
        value = getattr(scaler, name)
        if value is not None:
            arrays[f"scaler.{name}"] = value
    arrays |= {f"parameter.{name}": value for name, value in scorer.parameters.items()}
    names = getattr(detector, "feature_names_in_", None)
    description = {
        "format": FORMAT,
        "name": "DAGMM",
        "params": params,
        "settings": asdict(detector.settings_),
        "scaler": scaler.kind,
        "jitter": [m.jitter for m in mixtures],
        "offset": detector.offset_,
        "kept": detector.kept_,
        "n_features_in": detector.n_features_in_,
        "feature_names_in": None if names is None else [str(name) for name in names],
        "history": [asdict(record) for record in detector.history_],
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{ARRAYS}.{os.getpid()}.tmp"
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, temporary)
    temporary.replace(folder / ARRAYS)
    text = json.dumps(description, indent=1, default=_plain)
    write_atomically(folder / DESCRIPTION, text.encode())


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written to JSON")


def load_detector(folder: Path) -> DAGMM:
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
    from dagmm_model.estimator import DAGMM

    folder = Path(folder)
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
        arrays = load_file(folder / ARRAYS)
    except (OSError, json.JSONDecodeError, SafetensorError) as error:
        raise DetectorFileError(
            f"{folder} holds no readable detector ({error}); give a folder written by save_detector"
        ) from error
    if description.get("format") != FORMAT or description.get("name") != "DAGMM":
        raise DetectorFileError(
            f"{folder / DESCRIPTION} has format {description.get('format')!r} of "
            f"{description.get('name')!r}, this version reads format {FORMAT} of 'DAGMM'; "
            "load it with the version that wrote it, or train again"
        )
    detector = DAGMM(**description["params"])
    settings = settings_from(description["settings"])
    detector.settings_ = settings
    detector._scaler = Scaler(
        description["scaler"],
        arrays["scaler.centre"],
        arrays["scaler.scale"],
        *(arrays.get(f"scaler.{name}") for name in ("mean", "rotation", "back")),
    )
    detector._scorer = Scorer(
        settings,
        {n.removeprefix("parameter."): v for n, v in arrays.items() if n.startswith("parameter.")},
        arrays["latent_mean"],
        arrays["latent_scale"],
        tuple(
            Mixture(
                arrays[f"mixture.{s}.phi"],
                arrays[f"mixture.{s}.mu"],
                arrays[f"mixture.{s}.sigma"],
                jitter,
            )
            for s, jitter in enumerate(description["jitter"])
        ),
        arrays["energy_mean"],
        arrays["energy_scale"],
    )
    detector.history_ = tuple(record_from(record) for record in description["history"])
    detector.kept_ = tuple(description["kept"])
    detector.n_iter_ = len(detector.history_)
    detector.n_features_in_ = description["n_features_in"]
    if description["feature_names_in"] is not None:
        detector.feature_names_in_ = np.array(description["feature_names_in"], dtype=object)
    detector.offset_ = description["offset"]
    return detector
