"""Which device a training runs on, and which engine."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.distributed import ALONE, Ranks
from dagmm_model.base.settings import SettingsError, refuse
from dagmm_model.engines.interface import Engine
from dagmm_model.networks.network import Parameters
from dagmm_model.networks.presets import Settings

Float = NDArray[np.float64]

ENGINES = ("auto", "numpy", "torch")


def choose_device(device: str) -> str:
    """``auto`` is a GPU where there is one; torch is imported only if the system has a device.

    Raises:
        SettingsError: no such device, or none here.
    """
    if device == "cpu" or (
        device == "auto" and not any(Path(node).exists() for node in ("/dev/nvidia0", "/dev/dxg"))
    ):
        return "cpu"
    if device != "auto" and not re.fullmatch(r"cuda(:\d+)?", str(device)):
        refuse("device", device, "auto, cpu, cuda or cuda:N")
    import torch

    here = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if here else "cpu"
    if int(device.removeprefix("cuda").removeprefix(":") or 0) >= here:
        refuse("device", device, f"auto or cpu: PyTorch finds {here or 'no'} GPU here")
    return device


def scoring_device(trained_on: str) -> str:
    """The device that a saved model was trained on where it is here, else as ``auto``.

    A model trained on one machine's GPU must be able to score on another that has none; in float64
    the energies are the same but for the last digits.
    """
    try:
        return choose_device(trained_on)
    except SettingsError:
        return choose_device("auto")


def make_engine(
    name: str,
    device: str,
    x: NDArray[np.floating],
    sample_weight: Float | None,
    parameters: Parameters,
    settings: Settings,
    ranks: Ranks = ALONE,
) -> Engine:
    """The engine of that name on that device.

    ``auto`` is the NumPy engine on a CPU and the torch engine with a captured step on a GPU;
    ``torch`` is the latter without a capture, on either. Ranks on GPUs, each on one of its own, do
    without a capture.

    Raises:
        ValueError: unknown engine or device, the NumPy engine asked for on a GPU, or more ranks
            than GPUs.
    """
    if settings.alternating:
        from dagmm_model.engines.alternating import AlternatingEngine

        return AlternatingEngine(
            lambda of: make_engine(name, device, x, sample_weight, parameters, of, ranks), settings
        )
    if name not in ENGINES:
        raise ValueError(f"engine {name!r} is unknown; give one of {', '.join(ENGINES)}")
    if name == "numpy" and device not in ("auto", "cpu"):
        raise ValueError(f"engine 'numpy' runs on the CPU only, not on {device!r}; use 'torch'")
    device = "cpu" if name == "numpy" else choose_device(device)
    if name == "numpy" or (name == "auto" and device == "cpu"):
        from dagmm_model.engines.numpy.engine import NumpyEngine

        return NumpyEngine(x, sample_weight, parameters, settings, ranks=ranks)
    from dagmm_model.engines.torch.engine import TorchEngine

    if device == "cuda" and not ranks.alone:
        device = ranks.gpu()
    graph = name == "auto" and ranks.alone
    return TorchEngine(x, sample_weight, parameters, settings, device, graph=graph, ranks=ranks)
