"""Scoring by several views: encoded rows in, their energy and reasons out."""

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.base.processors import chunks
from dagmm_model.scoring.explanation import ExplainedEnergies, Explanation, in_blocks
from dagmm_model.scoring.fused import FusedScorer
from dagmm_model.scoring.fused_linear import scaled_levels
from dagmm_model.scoring.inference import Scorer
from dagmm_model.scoring.masked import relative_errors
from dagmm_model.scoring.views import Views, network_views
from dagmm_model.scoring.workspace import Workspaces
from dagmm_model.tables.encoded import Encoded, Layout, places, width_of
from dagmm_model.tables.scaling import Scaler


class ViewsScorer:
    """Scores rows of one layout by several views; safe to use from several threads.

    Without views the network's energy is the only one.
    """

    def __init__(self, scaler: Scaler, scorer: Scorer, views: Views | None, layout: Layout) -> None:
        self._scaled, self._scorer, self._views = _Scaled(scaler, layout), scorer, views
        self._width, self._workspaces = width_of(layout), Workspaces()
        axes = None if views is None else views.axes
        self._axes = None if axes is None else FusedScorer(*axes, layout)
        self._references = None if views is None else views.references

    def energy(self, rows: Encoded) -> Float:
        """Energy of each row ``(n,)``; see `score`."""
        return self.score(rows, np.inf).energy

    def score(self, rows: Encoded, explain_above: float) -> ExplainedEnergies:
        """Energies, and reasons for the rows with an energy above a bound (-inf: for all).

        Raises:
            ValueError: a value is too large once it is scaled.
        """
        along = None if self._axes is None else self._axes.energy(rows)

        def one(block: slice, energy: Float, chosen: NDArray[np.bool_]) -> list[Explanation]:
            explained = []
            with self._workspaces.one() as work:
                for here in chunks(len(energy)):
                    part = slice(block.start + here.start, block.start + here.stop)
                    x = self._scaled(rows[part], part.start)
                    seen, z, errors = network_views(self._scorer, x)
                    if self._references is not None:
                        seen["neighbours"] = self._references.energy(x, work=work)
                    if along is not None:
                        seen["axes"] = along[part]
                    views = self._views
                    energy[here] = seen["energy"] if views is None else views.energy(seen)
                    chosen[here] = above = energy[here] > explain_above
                    if above.any():
                        explained.append(self._explained(z[:, above], errors[:, above]))
            return explained

        return in_blocks(len(rows), self._width, one)

    def _explained(self, z: Float, errors: Float) -> Explanation:
        """Reasons for rows, of their latent rows ``(S, n, L)`` and errors ``(S, n, D)``."""
        scorer = self._scorer
        if scorer.typical is not None:
            errors = relative_errors(errors, scorer.typical)
        errors = errors[: scorer.reconstructing]
        total = errors.sum(axis=2, keepdims=True)
        shares: Float = (errors / np.where(total > 0, total, 1.0)).mean(axis=0)
        posterior = scorer.mixtures[0].posterior(z[0])
        return Explanation(shares, posterior.argmax(axis=1), posterior.max(axis=1))


class _Scaled:
    """Scaled rows ``(n, D)`` of encoded ones; levels are scaled once."""

    def __init__(self, scaler: Scaler, layout: Layout) -> None:
        self._scaler, self._width = scaler, width_of(layout)
        self._numbers, self._blocks = places(layout)
        self._levels = scaled_levels(scaler, self._blocks)

    def __call__(self, rows: Encoded, first: int) -> Float:
        """The rows, the first of which has that number in messages."""
        out = np.empty((len(rows), self._width))
        out[:, self._numbers] = self._scaler.by_itself(rows.numbers.T, first, self._numbers)
        for block, levels, codes in zip(self._blocks, self._levels, rows.codes, strict=True):
            np.take(levels, codes, axis=0, out=out[:, block], mode="clip")
        rotation = self._scaler.rotation
        return out if rotation is None else out @ rotation


EnergyScorer = FusedScorer | ViewsScorer
