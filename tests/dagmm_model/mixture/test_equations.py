"""Everything that computes the mixture fast computes its readable equations, on the same rows."""

import numpy as np
import pytest
import torch

from dagmm_model.engines.numpy.mixture import MixtureTerm
from dagmm_model.engines.torch import mixture as engine_torch
from dagmm_model.mixture import equations
from dagmm_model.mixture.moments import Moments
from tests.dagmm_model import paper_reference

MEMBERS, ROWS, COMPONENTS, WIDTH = 2, 60, 3, 4
JITTER = 1e-4


@pytest.fixture(params=[0.0, 1e3], ids=["about the origin", "far from it"])
def batch(request):
    """z ``(S, n, L)``, gamma ``(S, n, K)``, share ``(S, n)``."""
    rng = np.random.default_rng(0)
    scales = 10.0 ** np.linspace(-1, 1, WIDTH)
    z = rng.normal(size=(MEMBERS, ROWS, WIDTH)) * scales + request.param
    gamma = rng.dirichlet(np.ones(COMPONENTS), (MEMBERS, ROWS))
    share = rng.random((MEMBERS, ROWS))
    return z, gamma, share / share.sum(axis=1, keepdims=True)


@pytest.fixture
def readable(batch):
    """Mixture, energies ``(S, n)``, and (energy, penalty) without and with the bound."""
    z, gamma, share = map(torch.as_tensor, batch)
    mixture = equations.batch_mixture(z, gamma, share, JITTER)
    terms = [
        [term.numpy() for term in equations.mixture_term(z, gamma, share, JITTER, bound)[:2]]
        for bound in (False, True)
    ]
    return mixture, equations.sample_energy(z, mixture).numpy(), terms


def test_one_row_and_one_component_at_a_time(batch, readable):
    mixture, energies, _ = readable
    for s, (z, gamma, share) in enumerate(zip(*batch, strict=True)):
        phi, mu, sigma = paper_reference.mixture_of(z, gamma, share)
        covariance = sigma + JITTER * np.diag(paper_reference.spread_of(z, share))
        for ours, wanted in zip(mixture, (phi, mu, covariance), strict=True):
            np.testing.assert_allclose(ours[s], wanted, rtol=1e-9, atol=1e-12)
        wanted = paper_reference.energy_of(z, phi, mu, covariance)
        np.testing.assert_allclose(energies[s], wanted, rtol=1e-9)


def test_merged_moments_and_the_energy_of_scoring(batch, readable):
    mixture, energies, _ = readable
    for s, (z, gamma, share) in enumerate(zip(*batch, strict=True)):
        parts = [Moments.of(z[i], gamma[i], share[i]) for i in (slice(0, 13), slice(13, None))]
        merged = parts[0].merge(parts[1]).mixture(JITTER)
        actual = merged.phi, merged.mu, merged.covariance
        for ours, wanted in zip(actual, mixture, strict=True):
            np.testing.assert_allclose(ours, wanted[s], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(merged.energy(z), energies[s], rtol=1e-9)


@pytest.mark.parametrize("bound", [False, True])
def test_the_terms_of_both_engines(batch, readable, bound):
    z, gamma, share = batch
    compiled = MixtureTerm(MEMBERS, COMPONENTS, WIDTH, ROWS).forward(
        np.ascontiguousarray(z.swapaxes(1, 2)),
        np.ascontiguousarray(gamma.swapaxes(1, 2)),
        share[:, None],
        np.full(MEMBERS, JITTER),
        bound,
    )
    jitter = torch.full((MEMBERS, 1), JITTER, dtype=torch.float64)
    launched = engine_torch.batch_terms(*map(torch.as_tensor, batch), jitter, bound)[:2]
    for terms in (compiled, launched):
        for actual, wanted in zip(terms, readable[2][bound], strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=1e-9)
