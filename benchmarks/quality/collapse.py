"""Why the mixture collapses to one component on the paper's settings: one change at a time.

Trains the paper's network (section 4.3) on the normal rows of a random half, five seeds at once,
and prints for each variant how much of the mixture of all training rows is left.

    DAGMM_DATA_DIR=data python benchmarks/quality/collapse.py --data thyroid --epochs 5000
"""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from sklearn.metrics import roc_auc_score

from dagmm_model.networks.presets import PAPER
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.scoring.final_mixture import fit_scorer
from dagmm_model.tables.scaling import Scaler
from dagmm_model.training.epochs import Execution
from dagmm_model.training.loop import train

VARIANTS: dict[str, dict[str, object]] = {
    "paper": {},
    "no dropout": {"dropout": 0.0},
    "no penalty": {"lambda_penalty": 0.0},
    "no dropout, no penalty": {"dropout": 0.0, "lambda_penalty": 0.0},
    "no energy": {"lambda_energy": 0.0},
    "z standardised": {"latent_scaling": "standardised"},
    "z standardised, no dropout": {"latent_scaling": "standardised", "dropout": 0.0},
}


def halves(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normal rows of a random half, the rows of the other half, its labels."""
    data = loadmat(Path(os.environ["DAGMM_DATA_DIR"]) / f"{name}.mat")
    x, y = data["X"].astype(np.float64), data["y"].ravel().astype(int)
    order = np.random.default_rng(0).permutation(len(x))
    first, second = order[: len(x) // 2], order[len(x) // 2 :]
    return x[first[y[first] == 0]], x[second], y[second]


def measure(
    settings: DagmmSettings, x: np.ndarray, test: np.ndarray, y: np.ndarray, seeds: int
) -> dict:
    """Effective components and detection of every seed, and how the collapse came."""
    when = {}

    def watch(record) -> None:
        for share in (0.9, 0.99):
            if max(record.phi) > share:
                when.setdefault(share, record.epoch)

    trained = train(x, settings, range(seeds), Execution([watch], device="cpu"))
    scorer = fit_scorer(trained.parameters, settings, trained.jitter, x.__getitem__, len(x))
    first, last = trained.history[0], trained.history[-1]
    left = [m.health().effective_components for m in scorer.mixtures]
    variances = [np.diagonal(m.sigma, axis1=1, axis2=2) for m in scorer.mixtures]
    wider = [
        float(np.mean(variance[m.phi.argmin()] / variance[m.phi.argmax()]))
        for m, variance in zip(scorer.mixtures, variances, strict=True)
    ]
    areas = [roc_auc_score(y, energies) for energies in scorer.member_energies(test)]
    return {
        "max_phi": [round(float(m.phi.max()), 4) for m in scorer.mixtures],
        "effective_components": round(float(np.mean(left)), 3),
        # How much wider than the largest component the smallest is, mean over coordinates.
        "variance_small_over_large": [round(ratio, 2) for ratio in wider],
        "roc_auc": round(float(np.mean(areas)), 3),
        "penalty_first_epoch": round(settings.lambda_penalty * first.penalty, 3),
        "penalty_last_epoch": round(settings.lambda_penalty * last.penalty, 3),
        "energy_last_epoch": round(settings.lambda_energy * last.energy, 3),
        "first_seed_above_0.9_at": when.get(0.9),
        "first_seed_above_0.99_at": when.get(0.99),
    }


def main() -> None:
    """One line of JSON for each variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=["thyroid", "arrhythmia"], default="thyroid")
    parser.add_argument("--epochs", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    arguments = parser.parse_args()
    x, test, y = halves(arguments.data)
    base = replace(PAPER[f"paper-{arguments.data}"], epochs=arguments.epochs)
    scaler = Scaler.fit(base.scaling, x)
    x, test = scaler.transform(x).astype(np.float32), scaler.transform(test)
    for name in arguments.variants:
        settings = replace(base, **VARIANTS[name])  # type: ignore[arg-type]
        result = measure(settings, x, test, y, arguments.seeds)
        print(json.dumps({"variant": name, **result}), flush=True)


if __name__ == "__main__":
    main()
