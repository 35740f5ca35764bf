"""Everything that turns raw rows into verdicts: encoder, detector, threshold, calibration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from dagmm_model.persistence import load_detector, save_detector
from dagmm_model.preprocessing import Encoder
from dagmm_model.threshold import Threshold, p_values

if TYPE_CHECKING:
    from dagmm_model.detector import Detector

Vector = NDArray[np.float64]
BUNDLE_FORMAT = 1


class BundleError(ValueError):
    """A folder is not a scoring bundle that this version reads."""


@dataclass(frozen=True)
class Scores:
    """Verdict on each row; arrays of shape ``(rows,)``.

    Attributes:
        energy: Nats, float64; higher = more anomalous.
        p_value: Share of calibration rows at least as energetic, float64 in (0, 1].
        is_anomaly: Whether the energy lies above the threshold, bool.
    """

    energy: Vector
    p_value: Vector
    is_anomaly: NDArray[np.bool_]


@dataclass(frozen=True)
class ScoringBundle:
    """A detector with all that must never be separated from it.

    Attributes:
        encoder: Raw columns to matrix.
        detector: Fitted detector.
        threshold: Calibrated threshold.
        calibration: Ascending energies of the calibration rows, float64 of shape ``(n,)``.
    """

    encoder: Encoder
    detector: Detector
    threshold: Threshold
    calibration: Vector

    def score(self, table: Mapping[str, Any]) -> Scores:
        """Score raw rows, given as a mapping of columns or a data frame.

        Raises:
            EncodingError: A column is absent or a value cannot be encoded.
        """
        energy = self.detector.energy(self.encoder.encode(table))
        return Scores(energy, p_values(energy, self.calibration), energy > self.threshold.value)


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


def load_bundle(folder: Path) -> ScoringBundle:
    """Read what `save_bundle` wrote.

    Raises:
        BundleError: A file is missing, or the bundle has another format.
    """
    try:
        state = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{folder} holds no bundle.json: not a scoring bundle") from None
    if state["format"] != BUNDLE_FORMAT:
        raise BundleError(
            f"{folder} has bundle format {state['format']}, this version reads {BUNDLE_FORMAT}; "
            "score it with the version that wrote it, or train again"
        )
    return ScoringBundle(
        Encoder.from_dict(state["encoder"]),
        load_detector(folder / "detector"),
        Threshold(**state["threshold"]),
        load_file(folder / "calibration.safetensors")["calibration"],
    )
