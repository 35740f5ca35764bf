"""The kernels in Triton compute what autograd does; on a GPU, or where Triton interprets them.

`TRITON_INTERPRET=1 python -m pytest tests/dagmm_model/engines/test_triton.py` does so on a CPU.
"""

import os

import numpy as np
import pytest
import torch

from dagmm_model.base.settings import SettingsError
from dagmm_model.engines.choice import Device, make_engine
from dagmm_model.engines.torch import triton_step
from dagmm_model.engines.torch.engine import TorchEngine
from dagmm_model.networks.network import initialise, streams
from dagmm_model.networks.presets import PAPER, DagmmSettings, resolve

GPU = torch.cuda.is_available()
needs_kernels = pytest.mark.skipif(
    not GPU and os.environ.get("TRITON_INTERPRET") != "1",
    reason="needs a GPU, or TRITON_INTERPRET=1 and Triton",
)
D, ROWS, BATCH = 21, 60, 37
OPTIONS = [
    {"encoder_widths": (12, 7, 1), "n_components": 4, "dropout": 0.5},
    {
        "encoder_widths": (6, 4, 2),
        "n_components": 3,
        "reconstruction_features": "log_error",
        "reconstruction_reduction": "mean",
    },
    {
        "encoder_widths": (20, 3),
        "estimation_widths": (9, 6),
        "n_components": 2,
        "dropout": 0.3,
        "reconstruction_features": "log_error_cosine",
        "lambda_energy": 0.7,
        "gradient_clip": 0.5,
    },
    {"encoder_widths": (1,), "n_components": 1, "lambda_penalty": 0.3},
]


def settings_of(**options):
    plain = {"latent_scaling": "none", "linear_path": "none"}
    return DagmmSettings(**({"dropout": 0.0, "estimation_widths": (10,)} | plain | options))


def engines_of(settings):
    rng = np.random.default_rng(0)
    x, weight = rng.random((ROWS, D)).astype(np.float32), rng.uniform(0.1, 2.0, ROWS)
    x[3] = 0.0
    start = initialise(settings, D, (1, 2), x)
    device = "cuda" if GPU else "cpu"
    return [TorchEngine(x, weight, start, settings, device, triton=t) for t in (False, True)]


@needs_kernels
@pytest.mark.parametrize("options", OPTIONS, ids=map(str, range(len(OPTIONS))))
def test_the_kernels_train_as_autograd_does(options):
    settings = settings_of(**options)
    assert triton_step.unsupported(settings, D) == ""
    order = np.random.default_rng(1).integers(0, ROWS, (2, 4, BATCH))
    results, engines = [], engines_of(settings)
    for engine in engines:
        losses = engine.run(order, 1e-3, [streams(seed)[2] for seed in (1, 2)])
        results.append((losses, engine.mixture(), engine.parameter_gradients()))
    (plain, mixture, gradients), (losses, other, ours) = results
    np.testing.assert_allclose(losses, plain, rtol=2e-5, atol=1e-5)
    for name, value in gradients.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(ours[name], value, rtol=0, atol=1e-4 * scale, err_msg=name)
    for one, same in zip(mixture, other, strict=True):
        np.testing.assert_allclose(same, one, rtol=1e-4, atol=1e-5)


@needs_kernels
def test_a_singular_covariance_raises_the_jitter_as_with_autograd():
    settings, jitters = settings_of(**OPTIONS[0] | {"jitter": 0.0, "dropout": 0.0}), []
    order = np.random.default_rng(1).integers(0, ROWS, (2, 3, 2 * BATCH))
    order[1, 1] = np.arange(2 * BATCH) % 2
    for engine in engines_of(settings):
        with pytest.warns(UserWarning, match="jitter"):
            losses = engine.run(order, 1e-3, [])
        assert np.isfinite(losses).all()
        jitters.append(engine.jitter.tolist())
    assert jitters[0] == jitters[1]
    assert jitters[0][0] == 0 < jitters[0][1]


@pytest.fixture
def triton(monkeypatch):
    """A machine with Triton and a compiler."""
    monkeypatch.setattr(triton_step.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setenv("CC", "cc")


def test_the_papers_settings_are_served_and_the_default_is_not(triton):
    for settings in PAPER.values():
        assert triton_step.unsupported(settings, 274) == ""
    recommended = resolve("recommended", 30, 500)
    assert "masking" in triton_step.unsupported(recommended, 30)
    assert "1024 units" in triton_step.unsupported(PAPER["paper-thyroid"], 2000)


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(triton_step.importlib.util, "find_spec", lambda name: None)
    assert triton_step.unsupported(PAPER["paper-thyroid"], 6) == "Triton is not installed"
    monkeypatch.setattr(triton_step.importlib.util, "find_spec", lambda name: name)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    assert "C compiler" in triton_step.unsupported(PAPER["paper-thyroid"], 6)


def test_kernels_that_do_not_serve_the_settings_are_refused(triton):
    x = np.random.default_rng(0).random((40, 5)).astype(np.float32)
    settings = resolve("recommended", 5, 40)
    start = initialise(settings, 5, [1], x)
    with pytest.raises(SettingsError, match=r"engine='torch-triton'.*torch-graph: .*masking"):
        make_engine("torch-triton", Device("cuda", ""), x, None, start, settings)


@pytest.mark.parametrize(("epochs", "accepted"), [(100, False), (20_000, True)])
def test_auto_takes_them_for_a_long_training(triton, monkeypatch, epochs, accepted):
    asked = []

    class Asked:
        def __init__(self, *args, **options):
            asked.append(options["triton"])

    monkeypatch.setattr("dagmm_model.engines.torch.engine.TorchEngine", Asked)
    x = np.zeros((2000, 6), np.float32)
    settings = resolve("paper-thyroid", 6, 2000, {"epochs": epochs})
    start = initialise(settings, 6, [1], x)
    make_engine("auto", Device("cuda", ""), x, None, start, settings)
    assert asked == [accepted]
