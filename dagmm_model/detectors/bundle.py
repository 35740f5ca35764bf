"""Everything that turns raw rows into verdicts: encoder, detector, threshold, calibration."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.detectors.interface import Detector, Explaining, ForLayout, RowScorer
from dagmm_model.evaluation.threshold import Threshold, p_values
from dagmm_model.scoring.explanation import ExplainedEnergies, Explanation
from dagmm_model.tables.encoded import Encoded
from dagmm_model.tables.preprocessing import Encoder

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
        is_anomaly: Whether the energy lies above the threshold, bool; see `Threshold.bound`.
        reasons: None where none were asked for, or the detector gives none.
    """

    energy: Float
    p_value: Float
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
    calibration: Float

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
        limit = self.threshold.bound
        bound = {"none": np.inf, "anomalies": limit, "all": -np.inf}[explain]
        scored = self._scorer.score(self.encoder.codes(table), bound)
        energy, reasons = scored.energy, None
        if explain != "none" and self.explains:
            reasons = self._reasons(scored)
        anomalous = energy > limit
        return Scores(energy, p_values(energy, self.calibration), anomalous, reasons)

    def taking_new_levels(self) -> Self:
        """The same, with an all-zero block for every level that is outside its vocabulary.

        For rows whose values were checked: training refuses such levels, scoring shows them.
        """
        columns = tuple(replace(column, unseen="other") for column in self.encoder.columns)
        return replace(self, encoder=Encoder(columns))

    def warm_up(self) -> None:
        """Build what scores and compile its loops, seconds that no request should wait for."""
        layout = self.encoder.layout
        numbers = np.zeros((layout.count(None), 1))
        codes = np.zeros((len(layout) - len(numbers), 1), np.int64)
        self._scorer.score(Encoded(layout, numbers, codes), np.inf)

    @cached_property
    def _scorer(self) -> RowScorer:
        return row_scorer(self.encoder, self.detector)

    def _reasons(self, scored: ExplainedEnergies) -> Reasons:
        columns = self.encoder.columns
        names = tuple(column.name for column in columns)
        widths = [len(column.feature_names) for column in columns]
        starts = np.cumsum([0, *widths[:-1]])
        # A column of no width (its only level is dropped) has no share; reduceat would give it one.
        present = np.flatnonzero(widths)
        shares = np.zeros((len(scored.rows), len(names)))
        shares[:, present] = np.add.reduceat(scored.explanation.shares, starts[present], axis=1)
        return Reasons(scored.rows, names, shares, scored.explanation.component)


def row_scorer(encoder: Encoder, detector: Detector) -> RowScorer:
    """What scores the rows that this encoder gives, the fastest way that the detector has."""
    if isinstance(detector, ForLayout):
        return detector.for_layout(encoder.layout)
    return _ByMatrix(detector)


@dataclass(frozen=True)
class _ByMatrix:
    """Scores encoded rows with a detector that takes matrices only."""

    detector: Detector

    def score(self, rows: Encoded, explain_above: float) -> ExplainedEnergies:
        """See `RowScorer.score`; no explanation where there is none."""
        matrix = rows.matrix("F")
        energy = self.detector.energy(matrix)
        chosen = np.flatnonzero(energy > explain_above)
        explanation = Explanation.of_nothing(matrix.shape[1])
        if isinstance(self.detector, Explaining) and len(chosen):
            explanation = self.detector.explain(matrix[chosen])
        return ExplainedEnergies(energy, chosen, explanation)
