"""The false discovery rate: the textbook procedure, and its promise in simulation."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from dagmm_model.evaluation.threshold import Discoveries, exceeds, p_values


def discovered(calibration, energies, level) -> np.ndarray:
    actual = Discoveries(np.sort(calibration))
    for part in np.array_split(energies, 3):
        actual.add(part)
    threshold = actual.threshold(level)
    return np.zeros(len(energies), bool) if threshold is None else exceeds(energies, threshold)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("level", [0.05, 0.1, 0.3, 0.9])
def test_it_is_benjamini_and_hochberg_on_the_p_values(seed, level):
    rng = np.random.default_rng(seed)
    calibration = rng.normal(size=rng.integers(20, 200)).round(rng.integers(1, 6))
    anomalous = rng.random(150) < 0.3
    energies = (rng.normal(size=150) + 4 * anomalous).round(1)  # with ties
    adjusted = false_discovery_control(p_values(energies, np.sort(calibration)), method="bh")
    assert (discovered(calibration, energies, level) == (adjusted <= level + 1e-12)).all()


def test_few_of_the_discoveries_are_false_in_expectation():
    rng = np.random.default_rng(0)
    level, shares, powers = 0.1, [], []
    for _ in range(500):
        anomalous = rng.random(300) < 0.15
        energies = rng.standard_exponential(300) + 5 * anomalous
        actual = discovered(rng.standard_exponential(400), energies, level)
        shares.append((actual & ~anomalous).sum() / max(actual.sum(), 1))
        powers.append((actual & anomalous).sum() / anomalous.sum())
    error = np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) <= level + 2 * error
    assert np.mean(powers) > 0.7  # it does find them


def test_without_anomalies_hardly_a_batch_has_a_discovery():
    rng = np.random.default_rng(1)
    batches = [
        discovered(rng.normal(size=200), rng.normal(size=100), 0.1).any() for _ in range(500)
    ]
    assert np.mean(batches) <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 500)


def test_an_empty_batch_has_none():
    assert Discoveries(np.arange(10.0)).threshold(0.1) is None
