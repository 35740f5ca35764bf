"""Reconstruction features: the paper's, in both libraries, with the degenerate rows decided."""

import numpy as np
import pytest
import torch

from dagmm_model.networks.compression import FEATURES, compress, reconstruction_features
from dagmm_model.networks.network import initialise
from dagmm_model.networks.settings import DagmmSettings
from tests.dagmm_model import paper_reference


@pytest.mark.parametrize("kind", FEATURES)
def test_latent_rows_are_those_of_the_paper_in_both_libraries(kind):
    settings = DagmmSettings(encoder_widths=(4, 2), reconstruction_features=kind)
    parameters = {n: v.astype(np.float64) for n, v in initialise(settings, 5, [0]).items()}
    x = np.random.default_rng(0).normal(size=(20, 5))
    expected = [
        paper_reference.latent_row({n: v[0] for n, v in parameters.items()}, row, kind)[0]
        for row in x
    ]
    with_numpy, _ = compress(np, parameters, x[None], kind)
    with_torch, _ = compress(
        torch, {n: torch.tensor(v) for n, v in parameters.items()}, torch.tensor(x)[None], kind
    )
    np.testing.assert_allclose(with_numpy[0], expected, rtol=1e-10)
    np.testing.assert_allclose(with_torch[0].numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("kind", FEATURES)
@pytest.mark.parametrize("case", ["x", "x_hat", "both", "equal"])
def test_degenerate_rows_have_finite_features_and_gradients(kind, case):
    x, x_hat = torch.ones(1, 2, 3), torch.full((1, 2, 3), 0.5)
    if case in ("x", "both"):
        x = torch.zeros_like(x)
    if case in ("x_hat", "both"):
        x_hat = torch.zeros_like(x_hat)
    if case == "equal":
        x_hat = x.clone()
    x_hat.requires_grad_()
    features = reconstruction_features(torch, x, x_hat, kind)
    features.sum().backward()
    assert torch.isfinite(features).all()
    assert torch.isfinite(x_hat.grad).all()


def test_a_row_of_zeros_has_the_absolute_distance_and_no_cosine():
    x_hat = np.array([[[3.0, 4.0]]])
    features = reconstruction_features(np, np.zeros((1, 1, 2)), x_hat, "paper")
    np.testing.assert_allclose(features[0, 0], [5.0, 0.0])


def test_a_reconstruction_of_zeros_has_distance_one_and_no_cosine():
    features = reconstruction_features(np, np.array([[[3.0, 4.0]]]), np.zeros((1, 1, 2)), "paper")
    np.testing.assert_allclose(features[0, 0], [1.0, 0.0])
