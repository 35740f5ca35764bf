"""How differently two models see the same rows: for people, never a reason to refuse."""

from dataclasses import dataclass

import numpy as np

from data_checks.drift import population_stability

ENERGY_BINS = 10


@dataclass(frozen=True)
class ScoreDrift:
    """Differences between the energies of two models.

    Attributes:
        psi: Population stability index over the deciles of the second's energies.
        distance: Kolmogorov-Smirnov distance.
        ranks: Spearman's correlation, which no change of scale moves.
    """

    psi: float
    distance: float
    ranks: float


def compare_scores(first: np.ndarray, second: np.ndarray) -> ScoreDrift:
    """Compare energies of the same rows, both of shape ``(rows,)``."""
    from scipy.stats import ks_2samp, spearmanr

    return ScoreDrift(
        population_stability(*energy_bins(second, first)),
        float(ks_2samp(first, second, method="asymp").statistic),
        float(spearmanr(first, second).statistic),
    )


def energy_bins(reference: np.ndarray, energies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both per bin of the reference energies' deciles."""
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, ENERGY_BINS + 1)[1:-1]))

    def count(values: np.ndarray) -> np.ndarray:
        return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)

    return count(reference), count(energies)
