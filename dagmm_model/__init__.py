"""DAGMM: the deep autoencoding Gaussian mixture model for anomaly detection.

Zong, Song, Min, Cheng, Lumezanu, Cho and Chen: Deep Autoencoding Gaussian Mixture Model for
Unsupervised Anomaly Detection. ICLR 2018.

Importing the package is cheap: each public name is loaded at its first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagmm_model.base.checkpoint import Checkpointing, CheckpointMismatch
    from dagmm_model.detectors.dagmm import DAGMM
    from dagmm_model.detectors.file_format import load_detector, save_detector
    from dagmm_model.mixture.mixture import Mixture, MixtureHealth
    from dagmm_model.training.epochs import TrainingDiverged
    from dagmm_model.training.records import EpochRecord

_HOME = {
    "DAGMM": "detectors.dagmm",
    "CheckpointMismatch": "base.checkpoint",
    "Checkpointing": "base.checkpoint",
    "EpochRecord": "training.records",
    "Mixture": "mixture.mixture",
    "MixtureHealth": "mixture.mixture",
    "TrainingDiverged": "training.epochs",
    "load_detector": "detectors.file_format",
    "save_detector": "detectors.file_format",
}

__all__ = [
    "DAGMM",
    "CheckpointMismatch",
    "Checkpointing",
    "EpochRecord",
    "Mixture",
    "MixtureHealth",
    "TrainingDiverged",
    "load_detector",
    "save_detector",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module at first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
