"""The final mixture: clusters are found, heavy tails are not taken for clusters."""

import numpy as np
import pytest

from dagmm_model.mixture.moments import Moments
from dagmm_model.mixture.selection import PRIOR_ROWS, ROWS, criterion, select

JITTER = 1e-3


def memberships(z: np.ndarray, components: int, seed: int = 0) -> np.ndarray:
    """What an untrained estimation network gives: smooth, nearly equal memberships."""
    weights = np.random.default_rng(seed).normal(size=(z.shape[1], components))
    gamma = np.exp(np.tanh(z @ weights))
    return gamma / gamma.sum(axis=1, keepdims=True)


def standardised(z: np.ndarray) -> np.ndarray:
    return (z - z.mean(axis=0)) / z.std(axis=0)


def clusters(rows: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]])
    return standardised(np.concatenate([rng.normal(size=(rows, 3)) + c for c in centres]))


@pytest.mark.parametrize("seed", range(3))
def test_one_component_for_a_normal_and_for_a_heavy_tailed_cloud(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for cloud in (rng.normal(size=(1500, 3)), rng.standard_t(3, size=(1500, 3))):
        z = standardised(cloud)
        mixture = select(z, memberships(z, 8, seed), 20, JITTER)
        assert (mixture.phi > 0).sum() == 1
        np.testing.assert_allclose(mixture.mu[mixture.phi > 0][0], 0.0, atol=1e-9)


def test_overlap_costs_nothing_where_it_has_no_weight() -> None:
    z = standardised(np.random.default_rng(0).standard_t(3, size=(1500, 3)))
    gamma = memberships(z, 8)
    tail, one = select(z, gamma, 20, JITTER, overlap_weight=0.0), select(z, gamma, 20, JITTER)
    assert (tail.phi > 0).sum() > (one.phi > 0).sum() == 1
    assert criterion(tail, z, overlap_weight=0.0) < criterion(one, z, overlap_weight=0.0)


def test_separate_clusters_get_components_and_the_space_between_them_high_energy() -> None:
    z = clusters(400)
    mixture = select(z, memberships(z, 16), 20, JITTER)
    assert (mixture.phi > 0.05).sum() >= 2
    between = z.mean(axis=0, keepdims=True)
    assert mixture.energy(between)[0] > np.quantile(mixture.energy(z), 0.99)


def test_the_choice_has_the_lowest_criterion_of_the_sizes_tried() -> None:
    z = clusters(200)
    gamma = memberships(z, 8)
    chosen = criterion(select(z, gamma, 20, JITTER), z)
    single = Moments.of(z, np.ones((len(z), 1))).mixture(JITTER, PRIOR_ROWS)
    assert chosen < criterion(single, z)


def test_spare_components_are_empty_and_leave_the_energy_alone() -> None:
    z = standardised(np.random.default_rng(0).normal(size=(500, 2)))
    mixture = select(z, memberships(z, 8), 5, JITTER)
    assert mixture.phi.shape == (8,)
    single = Moments.of(z, np.ones((len(z), 1))).mixture(JITTER, PRIOR_ROWS)
    np.testing.assert_allclose(mixture.energy(z), single.energy(z), rtol=1e-3)


def test_more_rows_than_the_choice_looks_at_all_enter_the_mixture() -> None:
    z = clusters(ROWS // 2)
    mixture = select(z, memberships(z, 4), 3, JITTER)
    np.testing.assert_allclose(mixture.phi @ mixture.mu, z.mean(axis=0), atol=1e-9)


def test_a_weight_of_two_is_a_row_twice() -> None:
    z = clusters(100)
    weight = np.where(np.arange(len(z)) % 2 == 0, 2.0, 1.0)
    gamma = memberships(z, 1)
    weighted = select(z, gamma, 1, JITTER, weight)
    repeated = select(
        np.repeat(z, weight.astype(int), axis=0), np.ones((int(weight.sum()), 1)), 1, JITTER
    )
    np.testing.assert_allclose(weighted.mu, repeated.mu, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weighted.sigma, repeated.sigma, rtol=1e-9, atol=1e-12)


def test_the_prior_draws_a_small_component_to_the_covariance_of_all_rows() -> None:
    z = clusters(50)
    gamma = np.zeros((len(z), 2))
    gamma[:, 0] = 1.0
    gamma[:3] = [0.0, 1.0]
    free, drawn = (Moments.of(z, gamma).mixture(0.0, prior) for prior in (1e-9, 1e9))
    assert np.linalg.eigvalsh(free.sigma[1])[0] < 1e-6
    np.testing.assert_allclose(drawn.sigma[1], np.cov(z.T, bias=True), rtol=1e-6, atol=1e-6)
