"""How often does the gate "not worse than production" err? Synthetic detectors of known quality.

Both detectors see the same signal with noise of their own; the candidate's anomalies stand out less
by just so much that its true average precision (on 300,000 rows) is lower by a wanted amount.

    python benchmarks/quality/promotion.py [--trials 400] [--json]
"""

import argparse
import json

import numpy as np
import pandas as pd
from scipy.optimize import bisect
from sklearn.metrics import average_precision_score

from dagmm_model.evaluation.comparison import paired_difference
from flows.common.policy import PromotionPolicy

MARGIN = PromotionPolicy().margin
SIZES = ((113, 42), (400, 40), (2000, 200))
SIGNAL, NOISE = 2.5, 0.35
POPULATION = 300_000


def detectors(
    rows: int, anomalies: int, weaker: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, energies of the candidate and of production."""
    labels = np.arange(rows) < anomalies
    shared = labels * SIGNAL + rng.normal(size=rows)
    candidate = shared - labels * weaker + NOISE * rng.normal(size=rows)
    return labels, candidate, shared + NOISE * rng.normal(size=rows)


def weaker_by(loss: float, share: float) -> float:
    """Shift of the anomalies that costs `loss` of average precision."""

    def excess(weaker: float) -> float:
        labels, candidate, production = detectors(
            POPULATION, round(POPULATION * share), weaker, np.random.default_rng(0)
        )
        better, worse = (average_precision_score(labels, e) for e in (production, candidate))
        return better - worse - loss

    return bisect(excess, 0.0, SIGNAL, xtol=SIGNAL / 2**12)


def passing(rows: int, anomalies: int, loss: float, trials: int) -> tuple[float, float]:
    """Share of candidates that pass: by the gate, and by comparing the two figures alone."""
    weaker = weaker_by(loss, anomalies / rows) if loss else 0.0
    gate = naive = 0
    for trial in range(trials):
        labels, candidate, production = detectors(
            rows, anomalies, weaker, np.random.default_rng([trial, rows])
        )
        difference = paired_difference(labels, candidate, production, resamples=300)
        gate += difference.interval.low >= -MARGIN
        naive += difference.interval.value >= -MARGIN
    return gate / trials, naive / trials


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = []
    for rows, anomalies in SIZES:
        for loss in (0.0, MARGIN, 2 * MARGIN):
            gate, naive = passing(rows, anomalies, loss, arguments.trials)
            judged = {"true_loss": loss, "gate": gate, "figures_alone": naive}
            results.append({"rows": rows, "anomalies": anomalies} | judged)
    if arguments.json:
        print(json.dumps({"margin": MARGIN, "trials": arguments.trials, "passing": results}))
        return
    print(f"share of candidates that pass; margin {MARGIN}, {arguments.trials} trials a row")
    print(pd.DataFrame(results).to_string(index=False))


if __name__ == "__main__":
    main()
