"""Which device a training runs on and which engine, and why: `auto` goes by the training's size."""

import json
import math
import re
from importlib.metadata import version
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.base.distributed import ALONE, Ranks
from dagmm_model.base.settings import SettingsError, refuse
from dagmm_model.engines.interface import Engine
from dagmm_model.networks.network import Parameters, shapes
from dagmm_model.networks.settings import DagmmSettings

ENGINES = ("auto", "numpy", "torch", "torch-graph", "torch-compiled", "torch-triton")
"""``torch`` runs a step as it is, ``torch-graph`` replays a captured one, on a GPU only;
``torch-compiled`` has it compiled first, for 20 seconds.
``torch-triton`` replays three kernels of our own, for settings like the paper's."""

TRITON_STEPS = 40_000
"""Steps from which on `auto` takes the kernels: they save half a millisecond each, and are compiled
for 20 seconds where a table of that shape has not been trained before."""


class Device(NamedTuple):
    """Where something is trained: cpu, cuda or cuda:N, and why there."""

    name: str
    reason: str


def gpu_bound() -> float:
    """Multiplications of a forward pass, over a whole training, from which on a GPU is worth it.

    Below it, loading PyTorch and starting CUDA take longer than the training on a CPU.
    `benchmarks/speed/gpu_check.py` measures it and writes the file.
    """
    text = (files("dagmm_model") / "engines" / "gpu.json").read_text(encoding="utf-8")
    return float(json.loads(text)["multiplications"])


def multiplications(settings: DagmmSettings, rows: int, columns: int, members: int) -> float:
    """Multiplications of all forward passes of a training: rows x weights x epochs x members."""
    weights = sum(math.prod(s) for s in shapes(settings, columns).values() if len(s) == 2)
    return float(rows) * weights * settings.epochs * members


def choose_device(device: str, work: float) -> Device:
    """The device, of which ``auto`` is a GPU where there is one and the work is worth it.

    ``work`` are the `multiplications` of the training. torch is asked, and imported, only where a
    GPU would be taken.

    Raises:
        SettingsError: no such device, or none here; the message says why.
    """
    if device == "cpu":
        return Device("cpu", "asked for")
    if device == "auto":
        if work < (bound := gpu_bound()):
            return Device("cpu", f"{work:.1e} multiplications, a GPU is worth it from {bound:.0e}")
        missing = _no_gpu()
        return Device("cpu", missing) if missing else Device("cuda", f"{work:.1e} multiplications")
    if not re.fullmatch(r"cuda(:\d+)?", str(device)):
        refuse("device", device, "auto, cpu, cuda or cuda:N")
    if missing := _no_gpu():
        refuse("device", device, f"auto or cpu: {missing}")
    import torch

    here = torch.cuda.device_count()
    if int(device.removeprefix("cuda").removeprefix(":") or 0) >= here:
        refuse("device", device, f"cuda:0 to cuda:{here - 1}: PyTorch finds {here} GPU here")
    return Device(device, "asked for")


def _no_gpu() -> str:
    """Why PyTorch can use no GPU here; empty where it can."""
    if (build := version("torch")).endswith("+cpu"):  # known without importing it
        return f"PyTorch {build} is built without CUDA"
    import torch

    if torch.cuda.is_available():
        return ""
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (AssertionError, RuntimeError) as error:
        return f"PyTorch finds no GPU: {str(error).splitlines()[0]}"
    return "PyTorch finds no GPU"


def scoring_device(trained_on: str) -> str:
    """The device that a saved model was trained on where it is here, else as ``auto``.

    A model trained on one machine's GPU must be able to score on another that has none; in float64
    the energies are the same but for the last digits.
    """
    try:
        return choose_device(trained_on, math.inf).name
    except SettingsError:
        return choose_device("auto", math.inf).name


def device_for(name: str, device: str, work: float) -> Device:
    """The device for an engine of that name.

    Raises:
        SettingsError: unknown engine or device, or an engine that does not run there.
    """
    if name not in ENGINES:
        refuse("engine", name, f"one of {', '.join(ENGINES)}")
    if name == "numpy":
        if device not in ("auto", "cpu"):
            refuse("device", device, "auto or cpu, or another engine: numpy runs on the CPU only")
        return Device("cpu", "engine numpy")
    if name in ("torch-graph", "torch-triton"):
        if device == "cpu":
            refuse("engine", name, "torch, or device='cuda': steps are captured on a GPU only")
        return choose_device("cuda" if device == "auto" else device, work)
    return choose_device(device, work)


def make_engine(
    name: str,
    device: Device,
    x: NDArray[np.floating],
    sample_weight: Float | None,
    parameters: Parameters,
    settings: DagmmSettings,
    ranks: Ranks = ALONE,
) -> Engine:
    """The engine of that name on a device that was chosen for it.

    ``auto`` is the NumPy engine on a CPU and the torch engine with a captured step on a GPU, of our
    own kernels where they serve the settings and the training is long enough to compile them. Ranks
    on GPUs, each on one of its own, do without a capture.

    Raises:
        SettingsError: a graph for several ranks, ranks that share a GPU, or kernels that do not
            serve the settings.
    """
    if settings.alternating:
        from dagmm_model.engines.alternating import AlternatingEngine

        return AlternatingEngine(
            lambda of: make_engine(name, device, x, sample_weight, parameters, of, ranks), settings
        )
    if name.startswith("torch-") and not ranks.alone:
        refuse("engine", name, "torch where several ranks train together")
    place = ranks.place(device.name)
    if name == "numpy" or (name == "auto" and place == "cpu"):
        from dagmm_model.engines.numpy.engine import NumpyEngine

        return NumpyEngine(x, sample_weight, parameters, settings, ranks=ranks)
    from dagmm_model.engines.torch.engine import TorchEngine
    from dagmm_model.engines.torch.triton_step import unsupported

    triton = name == "torch-triton"
    if triton or (name == "auto" and ranks.alone):
        missing = unsupported(settings, x.shape[1])
        if triton and missing:
            refuse("engine", name, f"torch-graph: {missing}")
        steps = settings.epochs * math.ceil(len(x) / settings.batch_size)
        triton = not missing and (triton or steps >= TRITON_STEPS)
    return TorchEngine(
        x,
        sample_weight,
        parameters,
        settings,
        place,
        graph=place != "cpu" and name != "torch" and ranks.alone,
        compiler="inductor" if name == "torch-compiled" else None,
        triton=triton,
        ranks=ranks,
    )
