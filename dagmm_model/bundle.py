"""Everything that turns raw rows into verdicts: encoder, detector, threshold, calibration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from dagmm_model.detector import Detector, Explaining
from dagmm_model.persistence import load_detector, save_detector
from dagmm_model.preprocessing import Encoder
from dagmm_model.threshold import Threshold, p_values

Vector = NDArray[np.float64]
BUNDLE_FORMAT = 1


class BundleError(ValueError):
    """A folder is not a scoring bundle that this version reads."""


Explained = Literal["none", "anomalies", "all"]
"""Which rows get reasons; they cost about as much as the energy."""


@dataclass(frozen=True)
class Reasons:
    """Why some of the rows are as they are.

    Attributes:
        rows: Positions of the rows explained, ascending, int64 of shape ``(m,)``.
        columns: Names of the table's columns, C of them.
        shares: ``(m, C)`` share of each column in the squared reconstruction error, float64; a
            categorical column has the sum of its levels' shares.
        component: Nearest mixture component (the most responsible one), int64 ``(m,)``; -1 where
            there is no mixture.
    """

    rows: NDArray[np.int64]
    columns: tuple[str, ...]
    shares: NDArray[np.float64]
    component: NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """Verdict on each row; arrays of shape ``(rows,)``.

    Attributes:
        energy: Nats, float64; higher = more anomalous.
        p_value: Share of calibration rows at least as energetic, float64 in (0, 1].
        is_anomaly: Whether the energy lies above the threshold, bool.
        reasons: None where none were asked for, or the detector gives none.
    """

    energy: Vector
    p_value: Vector
    is_anomaly: NDArray[np.bool_]
    reasons: Reasons | None = None


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

    @property
    def explains(self) -> bool:
        """Whether the detector can give reasons."""
        return isinstance(self.detector, Explaining)

    def score(self, table: Mapping[str, Any], explain: Explained = "none") -> Scores:
        """Score raw rows.

        Args:
            table: A mapping of columns, or a data frame.
            explain: Which rows get reasons.

        Raises:
            EncodingError: A column is absent or a value cannot be encoded.
        """
        matrix = self.encoder.encode(table, order="F")
        energy = self.detector.energy(matrix)
        anomalous = energy > self.threshold.value
        reasons = None
        if explain != "none" and isinstance(self.detector, Explaining):
            chosen = anomalous if explain == "anomalies" else np.ones(len(energy), dtype=bool)
            reasons = self._reasons(self.detector, matrix, np.flatnonzero(chosen))
        return Scores(energy, p_values(energy, self.calibration), anomalous, reasons)

    def _reasons(
        self, detector: Explaining, matrix: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> Reasons:
        columns = self.encoder.columns
        names = tuple(column.name for column in columns)
        if not len(rows):
            return Reasons(rows, names, np.empty((0, len(names))), np.empty(0, dtype=np.int64))
        found = detector.explain(matrix[rows])
        widths = [len(column.feature_names) for column in columns]
        starts = np.cumsum([0, *widths[:-1]])
        # A column of no width (its only level is dropped) has no share; reduceat would give it one.
        present = np.flatnonzero(widths)
        shares = np.zeros((len(rows), len(names)))
        shares[:, present] = np.add.reduceat(found.shares, starts[present], axis=1)
        return Reasons(rows, names, shares, found.component)


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
