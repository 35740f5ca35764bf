"""`auto` takes a GPU where there is one and the training is worth it, and says why."""

import numpy as np
import pytest
import torch

from dagmm_model import DAGMM
from dagmm_model.base.distributed import Ranks
from dagmm_model.base.settings import SettingsError
from dagmm_model.engines import choice
from dagmm_model.engines.choice import (
    Device,
    choose_device,
    device_for,
    make_engine,
    multiplications,
)
from dagmm_model.networks.network import initialise
from dagmm_model.networks.presets import PAPER, resolve

LARGE = 1e15


@pytest.fixture
def gpus(monkeypatch):
    """A machine with a GPU, as `choice` sees it."""
    monkeypatch.setattr(choice, "_no_gpu", lambda: "")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


def work(preset, rows, columns, members=1):
    return multiplications(resolve(preset, columns, rows), rows, columns, members)


def test_the_work_of_a_training_is_rows_by_weights_by_epochs():
    settings = PAPER["paper-kddcup"]
    weights = 2 * (120 * 60 + 60 * 30 + 30 * 10 + 10) + 3 * 10 + 10 * 4
    assert multiplications(settings, 1000, 120, 3) == 1000 * weights * 200 * 3


@pytest.mark.parametrize(
    ("training", "device"),
    [
        (("paper-kddcup", 198_371, 120), "cuda"),
        (("paper-thyroid", 1_840, 6), "cpu"),
        (("paper-thyroid", 1_840, 6, 20), "cuda"),
        (("recommended", 350, 30, 4), "cpu"),
    ],
)
def test_auto_goes_by_the_work(gpus, training, device):
    actual = choose_device("auto", work(*training))
    assert actual.name == device
    assert "multiplications" in actual.reason


def test_the_reason_says_why_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(choice, "version", lambda name: "9.9+cpu")
    assert choose_device("auto", LARGE) == Device("cpu", "PyTorch 9.9+cpu is built without CUDA")
    with pytest.raises(SettingsError, match=r"device='cuda' .*auto or cpu: PyTorch 9.9\+cpu is"):
        choose_device("cuda", 0.0)


def test_pytorch_itself_is_asked_where_its_version_does_not_tell(monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(choice, "version", lambda name: "9.9")
    actual = choose_device("auto", LARGE)
    assert actual.name == "cpu"
    assert actual.reason.startswith("PyTorch finds no GPU: ")


@pytest.mark.parametrize(
    ("engine", "device", "message"),
    [
        ("jax", "auto", "engine='jax' cannot be used; give one of auto, numpy, torch, "),
        ("numpy", "cuda", "numpy runs on the CPU only"),
        ("torch-graph", "cpu", "captured on a GPU only"),
        ("auto", "gpu", "auto, cpu, cuda or cuda:N"),
    ],
)
def test_what_does_not_go_together_is_refused(engine, device, message):
    with pytest.raises(SettingsError, match=message):
        device_for(engine, device, LARGE)


def test_an_engine_can_be_chosen_by_name(gpus):
    assert device_for("numpy", "auto", LARGE).name == "cpu"
    assert device_for("torch", "cpu", LARGE).name == "cpu"
    assert device_for("torch-graph", "auto", 0.0).name == "cuda"
    x = np.random.default_rng(0).random((40, 5)).astype(np.float32)
    settings = resolve("paper", 5, 40)
    start = initialise(settings, 5, [1], x)
    kinds = {
        name: type(make_engine(name, Device("cpu", ""), x, None, start, settings)).__name__
        for name in ("auto", "numpy", "torch")
    }
    assert kinds == {"auto": "NumpyEngine", "numpy": "NumpyEngine", "torch": "TorchEngine"}
    with pytest.raises(SettingsError, match="several ranks"):
        make_engine("torch-graph", Device("cuda", ""), x, None, start, settings, Ranks(0, 2))


def test_a_fitted_detector_says_where_it_was_trained():
    rows = np.random.default_rng(0).normal(size=(60, 3))
    assert DAGMM(epochs=1, random_state=0).fit(rows).device_.name == "cpu"
    named = DAGMM(epochs=1, random_state=0, engine="torch", device="cpu").fit(rows)
    assert named.device_ == Device("cpu", "asked for")
    with pytest.raises(SettingsError, match="engine='jax'"):
        DAGMM.configure("recommended", 0, {"engine": "jax"})
