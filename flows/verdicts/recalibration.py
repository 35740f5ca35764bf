"""A threshold that the confirmed normal rows of production agree to."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from flows.common.errors import UsageError
from flows.verdicts.standing import Standing
from flows.verdicts.store import Review, ReviewRow


def confirmed_normals(
    reviews: Sequence[Review], rows: Iterable[ReviewRow], holds: Mapping[str, Standing]
) -> tuple[list[str], np.ndarray]:
    """Normal rows of reviewed batches, each with the rows that it stands for.

    Only batches count of which somebody has judged rows drawn below the threshold, and alerts if
    there are any: false alarms alone would say that every normal row looks like one.
    """
    size = {(r.id, True): r.alerts for r in reviews} | {(r.id, False): r.below for r in reviews}
    judged: dict[tuple[str, bool], list[ReviewRow]] = {}
    for row in rows:
        if row.row_key in holds and holds[row.row_key].label is not None:
            judged.setdefault((row.review, row.flagged), []).append(row)
    texts, weights = [], []
    for review in reviews:
        strata = [(review.id, flagged) for flagged in (True, False)]
        if any(size[each] and each not in judged for each in strata):
            continue
        for each in strata:
            for row in judged.get(each, []):
                if holds[row.row_key].label == 0:
                    texts.append(row.row)
                    weights.append(size[each] / len(judged[each]))
    return texts, np.array(weights, dtype=np.float64)


def agreed_threshold(
    calibration: np.ndarray, threshold: float, rate: float, live: np.ndarray, weights: np.ndarray
) -> float:
    """The smallest calibration energy, from a threshold on, that live normal rows agree to.

    Above it lies at most the rate of the calibration rows and the live ones together, these
    weighed as a sample of their batches and counted as their effective number (Kish, 1965). It is
    never below the threshold that the calibration rows alone guarantee.

    Args:
        calibration: Energies of the held-out normal rows, ascending, shape ``(n,)``.
        threshold: Calibrated on them alone.
        rate: False-alarm rate.
        live: Energies of confirmed normal rows, shape ``(m,)``.
        weights: Rows that each stands for, shape ``(m,)``.

    Raises:
        UsageError: No calibration energy is as large.
    """
    effective = weights.sum() ** 2 / (weights**2).sum()
    order = np.argsort(live)
    mass = np.concatenate([[0.0], np.cumsum(weights[order])]) / weights.sum()
    candidates = calibration[calibration >= threshold]
    beyond = len(calibration) - np.searchsorted(calibration, candidates, side="right")
    of_live = effective * (1 - mass[np.searchsorted(live[order], candidates, side="right")])
    share = (1 + beyond + of_live) / (len(calibration) + effective + 1)
    fits = np.flatnonzero(share <= rate)
    if not len(fits):
        raise UsageError(
            f"{share[-1]:.3g} of the confirmed normal rows lie above every calibration energy, "
            f"which is more than {rate:.3g}: train again, which takes them in"
        )
    return float(candidates[fits[0]])
