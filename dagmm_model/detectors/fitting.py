"""Before and after the training of a DAGMM: rows, settings and seeds; the mixture of all rows."""

from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from dagmm_model.base.arrays import Float
from dagmm_model.networks.network import Parameters, initialise
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.scoring.final_mixture import fit_scorer
from dagmm_model.scoring.inference import Scorer
from dagmm_model.scoring.wide import joined_scorer
from dagmm_model.tables.scaling import Scaler
from dagmm_model.training.loop import Trained


@dataclass(frozen=True)
class Ready:
    """What a training of a `DAGMM` needs, and what is done with its result.

    Attributes:
        given: ``(n, D)`` rows as they were given.
        sample_weight: as it was given.
        rows: those that train, in canonical order.
        weight: ``(n,)`` of these, or None.
        scaler: of the columns.
        scaled: ``(n, D)`` float32 training rows.
        held: ``(m, D)`` scaled validation rows, or None.
        settings: resolved for this table.
        seeds: of the members.
        last: of the member with the wide code.
    """

    given: NDArray[np.floating]
    sample_weight: ArrayLike | None
    rows: NDArray[np.floating]
    weight: Float | None
    scaler: Scaler
    scaled: NDArray[np.float32]
    held: NDArray[np.floating] | None
    settings: DagmmSettings
    seeds: list[int]
    last: list[int]


def check_contamination(contamination: object) -> None:
    """Refuse anything but a share of anomalies, with a ValueError."""
    given = isinstance(contamination, Real) and not isinstance(contamination, bool)
    if not given or not 0 < contamination <= 0.5:  # type: ignore[operator]
        raise ValueError(
            f"contamination={contamination!r} cannot be used; give a share in (0, 0.5]"
        )


def least_rows(settings: DagmmSettings) -> int:
    """Fewest rows that carry the mixture's components."""
    return max(2, settings.n_components)


def seeds_for(
    settings: DagmmSettings, n: int, random_state: int | np.random.RandomState | None
) -> tuple[list[int], list[int]]:
    """One for each member, of a training on n rows; and those of the wide code's.

    Raises:
        ValueError: too few rows for the mixture.
    """
    if n < least_rows(settings):
        raise ValueError(
            f"n_samples={n} rows cannot carry {settings.n_components} mixture components; "
            "give at least as many rows, or lower n_components"
        )
    count = settings.members + (settings.wide() is not None)
    drawn = check_random_state(random_state).randint(2**31 - 1, size=count)
    seeds = [int(seed) for seed in drawn]
    return seeds[: settings.members], seeds[settings.members :]


def fitted_scorer(ready: Ready, trained: Trained) -> Scorer:
    """The trained members with the mixture of all rows; behind them that with the wide code."""
    X, scaler = ready.rows, ready.scaler

    def score(parameters: Parameters, of: DagmmSettings, jitter: Float, seeds: list[int]) -> Scorer:
        rows, n = (lambda part: scaler.transform(X[part], None)), len(X)
        return fit_scorer(parameters, of, jitter, rows, n, ready.weight, seeds)

    scorer = score(trained.parameters, ready.settings, trained.jitter, ready.seeds)
    if (wide := ready.settings.wide()) is None:
        return scorer
    initial = initialise(wide, X.shape[1], ready.last, ready.scaled)
    return joined_scorer(scorer, score(initial, wide, np.array([wide.jitter]), ready.last))
