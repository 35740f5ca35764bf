"""The objective against the paper's equations, and its gradient against differences."""

from itertools import product

import numpy as np
import pytest
import torch

from dagmm_model.mixture.equations import (
    batch_mixture,
    log_joint,
    sample_energy,
    variational_bounds,
)
from dagmm_model.networks.network import initialise, latent_width
from dagmm_model.networks.objective import objective, standardise
from dagmm_model.networks.settings import DagmmSettings
from tests.dagmm_model import paper_reference

torch.set_num_threads(1)  # threads of torch spin: on a busy machine they cost minutes

OPTIONS = list(
    product(("paper", "log_error", "log_error_cosine"), ("none", "standardised"), ("sum", "mean"))
)


def settings_of(features="paper", latent="none", reduction="sum", **more):
    return DagmmSettings(
        encoder_widths=(5, 2),
        n_components=3,
        dropout=0.0,
        reconstruction_features=features,
        latent_scaling=latent,
        reconstruction_reduction=reduction,
        **more,
    )


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(40, 6))


@pytest.fixture
def weight():
    return np.random.default_rng(1).uniform(0.5, 2.0, 40)


def as_tensors(parameters, dtype):
    return {n: torch.tensor(v, dtype=dtype, requires_grad=True) for n, v in parameters.items()}


@pytest.mark.parametrize(("features", "latent", "reduction"), OPTIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_equals_the_papers_equations(rows, weight, features, latent, reduction, dtype, tolerance):
    settings = settings_of(features, latent, reduction)
    parameters = initialise(settings, 6, [3])
    expected = paper_reference.objective(
        {n: v[0] for n, v in parameters.items()}, rows.astype(np.float32), weight, settings
    )
    x = torch.tensor(rows.astype(np.float32)).to(dtype)[None]
    losses, mixture = objective(
        as_tensors(parameters, dtype), x, torch.tensor(weight)[None], settings, settings.jitter
    )
    for term in losses._fields:
        got = getattr(losses, term).item()
        assert got == pytest.approx(expected[term], rel=tolerance, abs=tolerance), term
    for name in ("phi", "mu", "covariance"):
        got = getattr(mixture, name)[0].detach().numpy()
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(got, expected[name], rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize(("features", "latent", "reduction"), OPTIONS)
def test_gradient_of_every_parameter_is_that_of_the_differences(
    rows, weight, features, latent, reduction
):
    settings = settings_of(features, latent, reduction, jitter=1e-4)
    parameters = as_tensors(initialise(settings, 6, [3, 4]), torch.float64)
    x, share = torch.tensor(rows)[None], torch.tensor(np.stack([weight, weight[::-1].copy()]))

    def total(*values):
        named = dict(zip(parameters, values, strict=True))
        return objective(named, x, share, settings, settings.jitter)[0].total

    assert torch.autograd.gradcheck(total, tuple(parameters.values()), rtol=1e-4, fast_mode=True)


def test_gradient_of_the_mixture_by_z_and_gamma_exactly():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1, 9, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(1, 9, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(1, 9, generator=generator, dtype=torch.float64) + 0.1
    share = weight / weight.sum()

    def mean_energy(z, logits):
        mixture = batch_mixture(z, torch.softmax(logits, -1), share, 1e-3)
        return (
            sample_energy(z, mixture).mean()
            + 0.01 * (1 / mixture.covariance.diagonal(0, -1, -2)).sum()
        )

    assert torch.autograd.gradcheck(mean_energy, (z, logits))


def test_the_variational_bound_is_the_papers_equation_and_never_below_the_energy(rows, weight):
    """Energy plus the divergence of gamma from the posterior, worked out row by row."""
    settings = settings_of(mixture_term="variational")
    parameters = initialise(settings, 6, [3])
    plain = {n: v[0] for n, v in parameters.items()}
    expected = paper_reference.objective(plain, rows.astype(np.float32), weight, settings)
    bound = paper_reference.variational_bound(
        expected["z"], expected["gamma"], expected["phi"], expected["mu"], expected["covariance"]
    )
    x = torch.tensor(rows.astype(np.float32)).double()[None]
    tensors = as_tensors(parameters, torch.float64)
    losses, mixture = objective(tensors, x, torch.tensor(weight)[None], settings, settings.jitter)
    assert losses.energy.item() == pytest.approx(np.average(bound, weights=weight), rel=1e-10)
    assert (bound >= expected["energies"]).all()
    z, gamma = torch.tensor(expected["z"])[None], torch.tensor(expected["gamma"])[None]
    posterior = torch.softmax(log_joint(z, mixture), dim=1).transpose(1, 2)
    torch.testing.assert_close(
        variational_bounds(z, posterior, mixture), sample_energy(z, mixture), rtol=1e-10, atol=1e-10
    )
    divergence = (gamma * (gamma.log() - posterior.log())).sum(-1)
    torch.testing.assert_close(
        variational_bounds(z, gamma, mixture),
        sample_energy(z, mixture) + divergence,
        rtol=1e-9,
        atol=0,
    )


@pytest.mark.parametrize("latent", ["none", "standardised"])
def test_gradient_of_the_variational_objective_is_that_of_the_differences(rows, weight, latent):
    settings = settings_of(latent=latent, jitter=1e-4, mixture_term="variational")
    parameters = as_tensors(initialise(settings, 6, [3]), torch.float64)
    x, share = torch.tensor(rows)[None], torch.tensor(weight)[None]

    def total(*values):
        named = dict(zip(parameters, values, strict=True))
        return objective(named, x, share, settings, settings.jitter)[0].total

    assert torch.autograd.gradcheck(total, tuple(parameters.values()), rtol=1e-4, fast_mode=True)


def test_all_three_networks_get_gradients(rows):
    settings = settings_of()
    parameters = as_tensors(initialise(settings, 6, [3]), torch.float64)
    x = torch.tensor(rows)[None]
    losses, _ = objective(parameters, x, torch.ones(1, 40).double(), settings, settings.jitter)
    losses.total.sum().backward()
    assert all(p.grad.abs().max() > 0 for p in parameters.values())


def test_float32_latent_far_from_the_origin_keeps_its_covariance():
    z = 1e4 + np.random.default_rng(0).normal(size=(1, 500, 2)).astype(np.float32)
    gamma, share = torch.ones(1, 500, 1).double(), torch.full((1, 500), 1 / 500).double()
    mixture = batch_mixture(torch.tensor(z).double(), gamma, share, 0.0)
    expected = np.cov(z[0].astype(np.float64).T, bias=True)
    np.testing.assert_allclose(mixture.covariance[0, 0].numpy(), expected, rtol=1e-9)


def test_standardised_latent_has_unit_moments_and_a_constant_coordinate_is_zero():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2, 50, 3, generator=generator, dtype=torch.float64)
    z[:, :, 1] = 7.0
    weight = torch.rand(2, 50, generator=generator, dtype=torch.float64)
    out = standardise(z, weight / weight.sum(1, keepdim=True))
    share = (weight / weight.sum(1, keepdim=True))[..., None]
    assert torch.allclose((share * out).sum(1), torch.zeros(2, 3).double(), atol=1e-7)
    assert torch.allclose((share * out**2).sum(1)[:, [0, 2]], torch.ones(2, 2).double())
    assert out[:, :, 1].abs().max() < 1e-6


def test_latent_width_is_code_plus_features():
    assert latent_width(settings_of("paper")) == 4
    assert latent_width(settings_of("log_error")) == 3
