"""A fitted DAGMM as JSON-able values and arrays, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from dagmm_model.base.settings import from_json
from dagmm_model.detectors.interface import Arrays, Epoch, State
from dagmm_model.mixture.mixture import Mixture
from dagmm_model.networks.presets import Settings
from dagmm_model.scoring.inference import Scorer
from dagmm_model.tables.scaling import Scaler
from dagmm_model.training.records import record_from

if TYPE_CHECKING:
    from dagmm_model.detectors.dagmm import DAGMM

MIXTURE = ("phi", "mu", "sigma")


def state_of(detector: DAGMM) -> State:
    """Everything that `restore` needs.

    Raises:
        sklearn.exceptions.NotFittedError: the detector is not fitted.
        ValueError: ``random_state`` is a generator, which JSON does not hold.
    """
    check_is_fitted(detector)
    scorer, scaler = detector._scorer, detector._scaler
    mixtures = scorer.mixtures
    params = detector.get_params(deep=False)
    if not isinstance(params["random_state"], (int, np.integer, type(None))):
        raise ValueError("random_state is a generator; set it to an integer or None to save")
    arrays: Arrays = {
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
    history: tuple[Any, ...] = detector.history_
    values = {
        "params": params,
        "settings": asdict(detector.settings_),
        "scaler": scaler.kind,
        "jitter": [m.jitter for m in mixtures],
        "offset": detector.offset_,
        "kept": detector.kept_,
        "n_features_in": detector.n_features_in_,
        "feature_names_in": None if names is None else [str(name) for name in names],
        "history": [asdict(record) for record in history],
    }
    return values, arrays


def restore(detector: DAGMM, values: dict[str, Any], arrays: Arrays) -> None:
    """Make an unfitted detector of the same parameters the one of a state."""
    settings = from_json(Settings, values["settings"])
    detector.settings_ = settings
    scaler = Scaler(
        values["scaler"],
        arrays["scaler.centre"],
        arrays["scaler.scale"],
        *(arrays.get(f"scaler.{name}") for name in ("mean", "rotation", "back")),
    )
    scorer = Scorer(
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
            for s, jitter in enumerate(values["jitter"])
        ),
        arrays["energy_mean"],
        arrays["energy_scale"],
    )
    detector._score_by(scaler, scorer)
    detector.history_ = tuple(
        Epoch(**record) if "terms" in record else record_from(record)
        for record in values["history"]
    )
    detector.kept_ = tuple(values["kept"])
    detector.n_iter_ = len(detector.history_)
    detector.n_features_in_ = values["n_features_in"]
    if values["feature_names_in"] is not None:
        detector.feature_names_in_ = np.array(values["feature_names_in"], dtype=object)
    detector.offset_ = values["offset"]
