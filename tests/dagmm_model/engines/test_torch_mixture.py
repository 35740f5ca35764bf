"""The mixture term of the torch engine: the reference's values and gradients."""

import numpy as np
import pytest
import torch

from dagmm_model.engines.torch.mixture import batch_terms, inverse
from dagmm_model.mixture import equations


def batch(members, rows, width, components, scale=1.0):
    torch.manual_seed(0)
    z = (torch.randn(members, rows, width, dtype=torch.float64) + 3.0) * scale
    logits = torch.randn(members, rows, components, dtype=torch.float64)
    share = torch.rand(members, rows, dtype=torch.float64)
    jitter = torch.linspace(1e-6, 1e-2, members, dtype=torch.float64)[:, None]
    return (
        z.requires_grad_(),
        logits.requires_grad_(),
        share / share.sum(1, keepdim=True),
        jitter,
    )


def figures(term, z, logits, share, jitter, variational):
    """Energy, penalty, mixture, and gradients of a weighted sum of the first two."""
    energy, penalty, mixture = term(z, torch.softmax(logits, -1), share, jitter, variational)
    weights = torch.arange(1.0, len(energy) + 1.0, dtype=torch.float64)
    total = (weights * (0.7 * energy + 0.03 * penalty)).sum()
    return [energy, penalty, *mixture, *torch.autograd.grad(total, (z, logits))]


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize(
    ("members", "rows", "width", "components"), [(1, 40, 1, 1), (2, 64, 3, 4), (3, 90, 7, 5)]
)
def test_it_is_the_reference(members, rows, width, components, variational):
    scale = 10.0 ** torch.linspace(-3, 3, width, dtype=torch.float64)
    data = batch(members, rows, width, components, scale)
    actual = figures(batch_terms, *data, variational)
    for ours, expected in zip(
        actual, figures(equations.mixture_term, *data, variational), strict=True
    ):
        largest = float(expected.detach().abs().max())
        np.testing.assert_allclose(
            ours.detach(), expected.detach(), rtol=1e-9, atol=1e-10 * largest
        )


def test_its_gradients_are_its_slopes():
    z, logits, share, jitter = batch(2, 12, 2, 3)

    def losses(z, logits):
        return batch_terms(z, torch.softmax(logits, -1), share, jitter, False)[:2]

    assert torch.autograd.gradcheck(losses, (z, logits))


@pytest.mark.parametrize("width", [1, 2, 13])
def test_the_inverse_holds_for_variances_of_all_sizes(width):
    rng = np.random.default_rng(width)
    root = rng.normal(size=(3, width, 2 * width))
    scale = 10.0 ** np.linspace(-6, 6, width)
    matrices = root @ root.swapaxes(1, 2) * scale * scale[:, None]
    actual, log_det = inverse(torch.as_tensor(matrices))
    unscaled = actual.numpy() * scale * scale[:, None]
    expected = np.linalg.inv(root @ root.swapaxes(1, 2))
    np.testing.assert_allclose(unscaled, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    np.testing.assert_allclose(log_det, np.linalg.slogdet(matrices)[1], rtol=1e-12, atol=1e-12)


def test_a_covariance_without_a_root_has_no_finite_energy_and_a_finite_penalty():
    z, logits, share, _ = batch(2, 30, 3, 2)
    with torch.no_grad():
        z[1, :, 2] = 2.0 * z[1, :, 1] - z[1, :, 0]
        jitter = torch.tensor([[0.0], [-1e-9]], dtype=torch.float64)  # rounding may save a 0
        energy, penalty, _ = batch_terms(z, torch.softmax(logits, -1), share, jitter, False)
    assert torch.isfinite(energy).tolist() == [True, False]
    assert torch.isfinite(penalty).all()
