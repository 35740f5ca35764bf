"""Mixture: moments merge exactly, energies are exact and never saturate, degenerate cases."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from dagmm_model.mixture.mixture import JitterWarning, Mixture, MixtureError
from dagmm_model.mixture.moments import Moments
from tests.dagmm_model import paper_reference


def sample(seed, n=200, width=3, components=3, scale=1.0):
    rng = np.random.default_rng(seed)
    z = scale * rng.normal(size=(n, width)) + rng.normal(size=width) * 10
    gamma = rng.dirichlet(np.ones(components), size=n)
    return z, gamma, rng.uniform(0.1, 3.0, n)


def close(first, second, rtol=1e-12):
    for name in ("phi", "mu", "sigma"):
        a, b = getattr(first, name), getattr(second, name)
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * np.abs(b).max())


@settings(max_examples=40)
@given(
    st.integers(0, 10_000),
    st.lists(st.integers(0, 200), max_size=6),
    st.floats(1e-3, 1e3),
)
def test_any_partition_of_the_rows_gives_the_same_mixture(seed, cuts, scale):
    z, gamma, weight = sample(seed, scale=scale)
    bounds = [0, *sorted(cuts), 200]
    merged = None
    for a, b in pairwise(bounds):
        part = Moments.of(z[a:b], gamma[a:b], weight[a:b])
        merged = part if merged is None else merged.merge(part)
    close(merged.mixture(1e-6), Moments.of(z, gamma, weight).mixture(1e-6))


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_energy_does_not_depend_on_row_order_or_component_labels(seed):
    z, gamma, weight = sample(seed)
    rows, labels = np.random.default_rng(seed).permutation(200), [2, 0, 1]
    energy = Moments.of(z, gamma, weight).mixture(1e-6).energy(z)
    other = Moments.of(z[rows], gamma[rows][:, labels], weight[rows]).mixture(1e-6)
    np.testing.assert_allclose(other.energy(z[rows]), energy[rows], rtol=1e-10, atol=1e-10)


def test_statistics_are_those_of_the_paper():
    z, gamma, weight = sample(1, n=50)
    mixture = Moments.of(z, gamma, weight).mixture(0.0)
    phi, mu, sigma = paper_reference.mixture_of(z, gamma, weight)
    np.testing.assert_allclose(mixture.phi, phi, rtol=1e-12)
    np.testing.assert_allclose(mixture.mu, mu, rtol=1e-12)
    np.testing.assert_allclose(mixture.sigma, sigma, rtol=1e-10)
    np.testing.assert_allclose(
        mixture.energy(z), paper_reference.energy_of(z, phi, mu, sigma), rtol=1e-10
    )


def test_energy_is_scipys_log_density():
    z, gamma, _ = sample(2)
    mixture = Moments.of(z, gamma).mixture(0.0)
    logs = [
        np.log(phi) + multivariate_normal(mu, sigma).logpdf(z)
        for phi, mu, sigma in zip(mixture.phi, mixture.mu, mixture.sigma, strict=True)
    ]
    np.testing.assert_allclose(mixture.energy(z), -logsumexp(logs, axis=0), rtol=1e-10)


@pytest.mark.parametrize("direction", [[1.0, 0.0, 0.0], [1.0, -1.0, 0.5]])
def test_energies_keep_their_order_a_million_deviations_away(direction):
    z, gamma, _ = sample(3)
    mixture = Moments.of(z, gamma).mixture(1e-6)
    steps = np.geomspace(50.0, 1e6, 200)[:, None]
    energy = mixture.energy(z.mean(axis=0) + steps * np.array(direction))
    assert np.isfinite(energy).all()
    assert (np.diff(energy) > 0).all()


def test_posterior_sums_to_one_even_where_every_density_underflows():
    z, gamma, _ = sample(4)
    mixture = Moments.of(z, gamma).mixture(1e-6)
    posterior = mixture.posterior(z + 1e7)
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0)


def test_an_empty_component_takes_no_part():
    z, gamma, _ = sample(5)
    gamma = np.column_stack([gamma, np.zeros(200)])
    mixture = Moments.of(z, gamma).mixture(1e-6)
    without = Moments.of(z, gamma[:, :3]).mixture(1e-6)
    assert mixture.phi[3] == 0
    assert mixture.health().min_phi == 0
    np.testing.assert_allclose(mixture.energy(z), without.energy(z), rtol=1e-12)
    assert np.isfinite(mixture.sigma).all()


def test_a_component_collapsed_on_one_point_is_kept_finite_by_the_jitter():
    z, _, _ = sample(6)
    gamma = np.zeros((200, 2))
    gamma[:10, 0], gamma[10:, 1] = 1.0, 1.0
    z[:10] = 0.0
    mixture = Moments.of(z, gamma).mixture(1e-6)
    assert np.isfinite(mixture.energy(z)).all()
    assert np.abs(mixture.sigma[0]).max() < 1e-25
    assert mixture.health().conditions[0] == pytest.approx(
        mixture.spread.max() / mixture.spread.min()
    )


def test_a_constant_coordinate_gives_finite_ordered_energies():
    z, gamma, _ = sample(7)
    z[:, 1] = 4.0
    mixture = Moments.of(z, gamma).mixture(1e-6)
    off = z[:3].copy()
    off[:, 1] += [0.1, 1.0, 10.0]
    energy = mixture.energy(off)
    assert np.isfinite(mixture.energy(z)).all()
    assert energy[0] < energy[1] < energy[2]


def test_the_jitter_is_raised_with_a_warning_when_it_is_too_small():
    z, gamma, _ = sample(8)
    z[:, 2] = z[:, 0] + z[:, 1]
    with pytest.warns(JitterWarning, match="jitter raised from 0"):
        mixture = Moments.of(z, gamma).mixture(0.0)
    assert mixture.jitter > 0
    assert np.isfinite(mixture.energy(z)).all()


def test_the_jitter_is_relative_to_the_scale_of_each_coordinate():
    z, gamma, _ = sample(9)
    units = np.array([1e-2, 1.0, 1e3])
    plain = Moments.of(z, gamma).mixture(1e-3)
    scaled = Moments.of(z * units, gamma).mixture(1e-3)
    shift = np.log(units).sum()
    np.testing.assert_allclose(scaled.energy(z * units), plain.energy(z) + shift, rtol=1e-9)


def test_health_counts_effective_components():
    mixture = Mixture(np.array([0.5, 0.5, 0.0]), np.zeros((3, 2)), np.stack([np.eye(2)] * 3), 0.0)
    assert mixture.health().effective_components == pytest.approx(2.0)
    assert mixture.health().max_condition == pytest.approx(1.0)


@pytest.mark.parametrize("components", [1, 4])
@pytest.mark.parametrize("width", [1, 5])
def test_any_size(components, width):
    z, gamma, weight = sample(10, width=width, components=components)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixture = Moments.of(z, gamma, weight).mixture(1e-6)
    assert mixture.energy(z).shape == (200,)


def test_no_rows_and_rows_that_are_not_finite_are_refused():
    with pytest.raises(MixtureError, match="no finite mixture"):
        Moments.of(np.empty((0, 2)), np.empty((0, 3))).mixture(1e-6)
    with pytest.raises(MixtureError, match="no finite mixture"):
        Moments.of(np.full((5, 2), np.nan), np.full((5, 1), 1.0)).mixture(1e-6)
