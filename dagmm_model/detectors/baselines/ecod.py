"""ECOD: empirical cumulative distributions (Li et al., TKDE 2022), for new rows.

Each column says how rare it is to be as low, or as high, as a row is there; the logarithms are
added up over the columns. A scored row is counted among the training rows, so that a value beyond
all of them has probability 1 / (n + 1), and a row's score depends on no other scored row.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dagmm_model.base.arrays import Float
from dagmm_model.detectors.base import ScaledDetector
from dagmm_model.detectors.interface import Arrays
from dagmm_model.training.baseline_settings import BaselineSettings


@dataclass(frozen=True)
class EcodSettings(BaselineSettings):
    """Settings of `Ecod`; its score is the same whatever the scale of a column.

    Attributes:
        larger_tail: column, to add up the rarer of each column's two tails, as the authors'
            published code does (it detects more); or table, for the largest of three sums over all
            columns, as their algorithm 1 has it: of left tails, of right ones, and of the ones on
            the side of each column's skewness.
    """

    scaling: str = "none"
    larger_tail: str = "column"

    choices: ClassVar[dict[str, tuple[str, ...]]] = BaselineSettings.choices | {
        "larger_tail": ("column", "table")
    }


class Ecod(ScaledDetector[EcodSettings]):
    """Sum over the columns of the negative logarithm of a tail probability."""

    name = "ecod"
    settings_type = EcodSettings

    def _learn_scaled(self, x: Float) -> Arrays:
        counted = [np.unique(x[:, d], return_counts=True) for d in range(x.shape[1])]
        centred = x - x.mean(axis=0)
        centred /= np.maximum(np.abs(centred).max(axis=0), 1e-300)
        return {
            "values": np.concatenate([values for values, _ in counted]),
            "counts": np.concatenate([counts for _, counts in counted]),
            "starts": np.cumsum([0] + [len(values) for values, _ in counted]),
            "left": (centred**3).mean(axis=0) < 0,
            "rows": np.array(len(x)),
        }

    def _score(self, x: Float) -> Float:
        known, n = self._arrays, int(self._arrays["rows"])
        tails = np.zeros((4, len(x)))  # left, right, by skewness, the larger one
        for d in range(x.shape[1]):
            part = slice(*known["starts"][d : d + 2])
            values = known["values"][part]
            below = np.concatenate([[0], np.cumsum(known["counts"][part])])
            at_most = below[np.searchsorted(values, x[:, d], side="right")]
            at_least = n - below[np.searchsorted(values, x[:, d], side="left")]
            left = -np.log((at_most + 1.0) / (n + 1.0))
            right = -np.log((at_least + 1.0) / (n + 1.0))
            skewed = left if known["left"][d] else right
            tails += [left, right, skewed, np.maximum(left, right)]
        scores: Float = (
            tails[3] if self.settings_.larger_tail == "column" else tails[:3].max(axis=0)
        )
        return scores
