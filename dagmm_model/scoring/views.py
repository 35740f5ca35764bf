"""One energy of several views of a row, which miss different anomalies.

The views are the energy of the mixture over z, the error of hidden columns, the distance to the
nearest reference rows, and the energy along the principal axes. They have different units: each is
turned into its surprisal, minus the logarithm of the share of training rows with at least as much
of it, and these are averaged. So the energy is in nats, and a row with 7 is, in the geometric mean
over the views, one in a thousand. Beyond the largest training value, a surprisal grows with the
distance from it in standard deviations.

How much a view counts is read from the training rows. The principal axes count for more where the
tail of their energies is longer: where normal rows differ in how far out they are, being far out
along an axis that hardly varies says more than what the networks, which saturate, and the logarithm
of a distance see. The network's two views count for more where more columns have few values: there
distances are coarse, and what is anomalous are values that do not go together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float, Rows
from dagmm_model.base.checkpoint import under
from dagmm_model.base.processors import each_chunk
from dagmm_model.mixture.selection import ROWS, evenly
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.scoring import masked, neighbours
from dagmm_model.scoring.fused import FusedScorer
from dagmm_model.scoring.inference import ScaledScorer, Scorer, from_state, state_of
from dagmm_model.scoring.masked import log_error
from dagmm_model.scoring.neighbours import References
from dagmm_model.tables.encoded import Encoded
from dagmm_model.tables.scaling import Scaler

WEIGHTS = {"energy": 1.0, "error": 2.0, "neighbours": 2.5}
"""Of the views in the mean, beside the axes; those of the network are multiplied by `NETWORK`."""

NETWORK = (0.25, 2.0)
"""How much the network counts where no column has few values, and where all have."""

FEW = 20
"""Different values in the training rows that are few."""

AXES = 2.0
"""Weight of the axes if their energies' tail is exponential, as much as that of the error; it goes
with the cube of the L-skewness, an eighth of this for half the skewness."""

KNOTS = 512
"""Training values that a surprisal keeps, the more the higher they are."""


@dataclass(frozen=True)
class Surprisal:
    """Minus the logarithm of the share of training rows with at least that value.

    Attributes:
        values: ``(k,)`` some of the training rows' values, ascending.
        nats: ``(k,)`` their surprisals.
        scale: standard deviation of the values: beyond the largest, a nat more for each.
    """

    values: Float
    nats: Float
    scale: float

    @classmethod
    def of(cls, values: Float, weight: Float | None = None) -> Self:
        """From the values of training rows ``(n,)`` and their weights ``(n,)``."""
        order = np.argsort(values, kind="stable")
        ascending = values[order]
        mass = np.ones(len(values)) if weight is None else weight[order]
        # Half of a row's own weight is below it.
        share = (np.cumsum(mass[::-1])[::-1] - 0.5 * mass) / mass.sum()
        nats = -np.log(np.maximum(share, 1e-300))
        first = np.unique(ascending, return_index=True)[1]  # of equal values the first
        kept = first
        if len(first) > KNOTS:
            below = np.round(np.geomspace(1, len(first), KNOTS)).astype(np.int64)
            kept = first[np.unique(len(first) - below)]
        spread = float(np.sqrt(np.average((values - np.average(values, weights=weight)) ** 2,
                                          weights=weight)))  # fmt: skip
        return cls(ascending[kept], nats[kept], spread if spread > 0 else 1.0)

    def __call__(self, values: Float) -> Float:
        """Surprisals ``(n,)`` of values ``(n,)``."""
        result: Float = np.interp(values, self.values, self.nats)
        result += np.maximum(values - self.values[-1], 0.0) / self.scale
        return result


@dataclass(frozen=True)
class Views:
    """What the views are of.

    Attributes:
        surprisals: by the name of the view, in the order of the settings.
        weights: of the surprisals, likewise.
        references: of the view ``neighbours``, or None.
        axes: scaler and scorer of the view ``axes``, or None.
    """

    surprisals: dict[str, Surprisal]
    weights: dict[str, float]
    references: References | None = None
    axes: ScaledScorer | None = None

    def to_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """JSON-able values and arrays for disk, as `from_state` takes them."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, surprisal in self.surprisals.items():
            arrays[f"view.{name}.values"] = surprisal.values
            arrays[f"view.{name}.nats"] = surprisal.nats
        if self.references is not None:
            arrays["references"] = self.references.rows
        values: dict[str, Any] = {
            "scales": {name: surprisal.scale for name, surprisal in self.surprisals.items()},
            "weights": self.weights,
            "axes": None,
        }
        if self.axes is not None:
            values["axes"], own = state_of(self.axes)
            arrays |= {f"axes.{name}": array for name, array in own.items()}
        return values, arrays

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The views of what `to_state` gave, among other arrays."""
        surprisals = {
            name: Surprisal(arrays[f"view.{name}.values"], arrays[f"view.{name}.nats"], scale)
            for name, scale in values["scales"].items()
        }
        references = References(arrays["references"]) if "references" in arrays else None
        along = values["axes"]
        axes = None if along is None else from_state(along, under("axes.", arrays))
        return cls(surprisals, values["weights"], references, axes)

    def energy(self, seen: dict[str, Float]) -> Float:
        """The weighted mean surprisal ``(n,)`` of the views' values, each ``(n,)``."""
        total = np.zeros(len(next(iter(seen.values()))))
        for name, surprisal in self.surprisals.items():
            total += self.weights[name] * surprisal(seen[name])
        total /= sum(self.weights.values())
        return total


def constants(settings: DagmmSettings) -> dict[str, Any]:
    """What decides an energy beside the settings: by module, the constants of the views there are.

    A detector that is fitted keeps its own weights.
    """
    values: dict[str, Any] = {}
    if settings.views != ("energy",):
        values["views"] = {**WEIGHTS, "axes": AXES, "network": NETWORK, "few": FEW}
    if settings.masking:
        names = ("GROUPS", "ROUNDS", "MANY", "TYPICAL_FLOOR", "TAIL")
        values["masked"] = {name: getattr(masked, name) for name in names}
    if "neighbours" in settings.views:
        names = ("MOST", "LEAST", "VALUES", "NEIGHBOURS", "FLOOR")
        values["neighbours"] = {name: getattr(neighbours, name) for name in names}
    return values


def weights_of(
    seen: dict[str, Float], coarse: float, weight: Float | None = None
) -> dict[str, float]:
    """How much each view counts.

    Args:
        seen: the views' values of the training rows, each ``(n,)``.
        coarse: share of the columns that have few values, see `coarseness`.
        weight: ``(n,)`` of the rows, or None.
    """
    network = NETWORK[0] + (NETWORK[1] - NETWORK[0]) * coarse
    factors = {"energy": network, "error": network, "neighbours": 1.0}
    return {
        name: WEIGHTS[name] * factors[name]
        if name in WEIGHTS
        else AXES * (3.0 * l_skewness(values, weight)) ** 3
        for name, values in seen.items()
    }


def coarseness(X: Rows) -> float:
    """Share of the columns of ``(n, D)`` rows that have few values, of those that vary at all."""
    counts = np.array([len(np.unique(column)) for column in X.T])
    vary = counts > 1
    return float((counts[vary] <= FEW).mean()) if vary.any() else 0.0


def l_skewness(values: Float, weight: Float | None = None) -> float:
    """L-skewness of values ``(n,)`` (Hosking 1990), 0 where the longer tail is the lower one.

    A third for an exponential distribution. It is of order statistics, not of third powers, which
    a single row could decide.
    """
    order = np.argsort(values, kind="stable")
    mass = np.ones(len(values)) if weight is None else weight[order]
    u = np.concatenate([[0.0], np.cumsum(mass)]) / mass.sum()
    ascending = values[order]
    # Integrals of the shifted Legendre polynomials, with which the quantile function is weighed.
    scale = float(np.diff(u**2 - u) @ ascending)
    third = float(np.diff(2.0 * u**3 - 3.0 * u**2 + u) @ ascending)
    return max(0.0, third / scale) if scale > 0 else 0.0


def network_views(scorer: Scorer, x: Float) -> tuple[dict[str, Float], Float, Float]:
    """Values of the network's views of scaled rows ``(n, D)``, each ``(n,)``.

    And latent rows ``(S, n, L)`` and squared errors of the columns ``(S, n, D)``.
    """
    z, errors = scorer.latent_and_errors(x)
    seen = {"energy": scorer.together(scorer.energies_of(z))}
    if scorer.typical is not None:
        seen["error"] = log_error(errors, scorer.typical).mean(axis=0)
    return seen, z, errors


def fit_views(
    scaler: Scaler,
    scorer: Scorer,
    axes: ScaledScorer | None,
    X: Rows,
    weight: Float | None,
    seed: int,
) -> Views:
    """The views that the scorer's settings name, of training rows ``(n, D)`` with weights ``(n,)``.

    Surprisals are those of at most `ROWS` evenly spaced training rows. A reference row's distance
    is that to the other ones; the seed decides which rows are references.
    """
    names = scorer.settings.views
    X, weight = evenly(X, ROWS), None if weight is None else evenly(weight, ROWS)
    n, width = X.shape
    seen = {name: np.empty(n) for name in names}
    references, own = None, np.full(n, -1)
    if "neighbours" in names:
        references, own = References.of(
            lambda rows: scaler.transform(X[rows], None), n, width, seed
        )

    def one(part: slice) -> None:
        x = scaler.transform(X[part], None)
        values, *_ = network_views(scorer, x)
        if references is not None:
            values["neighbours"] = references.energy(x, own[part])
        for name in seen.keys() & values.keys():
            seen[name][part] = values[name]

    each_chunk(one, n)
    if axes is not None:
        layout = (None,) * width
        seen["axes"] = FusedScorer(*axes, layout).energy(Encoded.of(X))
    surprisals = {name: Surprisal.of(values, weight) for name, values in seen.items()}
    weights = weights_of(seen, coarseness(X), weight)
    return Views(surprisals, weights, references, axes)
