"""What `gpu_check.py` measures with: figures by name, their targets, and what went wrong."""

import time
import traceback
from collections.abc import Callable
from statistics import median
from typing import Any, Self

import numpy as np
import torch

from dagmm_model.engines.interface import PIECE
from dagmm_model.engines.torch.engine import TorchEngine
from dagmm_model.networks.network import initialise, streams
from dagmm_model.networks.presets import PAPER
from dagmm_model.networks.settings import DagmmSettings

ROWS, WIDTH, BATCH, MEMBERS = 48_639 * 4, 120, 1024, 20
KDDCUP = PAPER["paper-kddcup"]
KINDS: dict[str, dict[str, Any]] = {
    "torch": {},
    "torch-graph": {"graph": True},
    "torch-compiled": {"graph": True, "compiler": "inductor"},
    "torch-triton": {"graph": True, "triton": True},
}
TARGETS: dict[str, tuple[float, str]] = {
    "failed tests": (0.0, "none"),
    "microseconds a KDDCUP step": (150.0, "at most"),
    "seconds of 200 KDDCUP epochs": (10.0, "at most"),
    "20 seeds over one": (3.0, "at most"),
    "textbook over a step": (20.0, "at least"),
    "CPU's energies off by": (1e-5, "at most"),
    "failed trainings from end to end": (0.0, "none"),
}


class Check:
    """What is measured, by name, and how it went."""

    def __init__(self, device: str) -> None:
        self.device, self.dry = device, device == "cpu"
        self.rows = 4_096 if self.dry else ROWS
        self.steps = 4 if self.dry else PIECE
        self.figures: dict[str, float] = {}
        self.troubles: dict[str, str] = {}

    def note(self, name: str, value: float) -> None:
        """Keep a figure and show it."""
        self.figures[name] = float(value)
        print(f"   {name:60} {value:.5g}", flush=True)

    def section(self, work: Callable[[Self], None]) -> None:
        """Run one section; whatever it raises is a trouble of this one only."""
        print(f"## {work.__name__}: {(work.__doc__ or '').splitlines()[0]}", flush=True)
        started = time.perf_counter()
        try:
            work(self)
        except Exception as error:
            traceback.print_exc(limit=-3)
            self.troubles[work.__name__] = f"{type(error).__name__}: {error}"[:500]
        print(f"   took {time.perf_counter() - started:.1f} s", flush=True)

    def verdicts(self) -> dict[str, str]:
        """Met, missed or not measured, for each target."""
        result = {}
        for name, (target, how) in TARGETS.items():
            value = self.figures.get(name)
            met = value is not None and (value >= target if how == "at least" else value <= target)
            result[name] = "not measured" if value is None else "met" if met else "missed"
        return result

    def wait(self) -> None:
        """Until the GPU is done."""
        if not self.dry:
            torch.cuda.synchronize()

    def table(self, width: int = WIDTH) -> np.ndarray:
        """Random rows of a table's shape, float32."""
        return np.random.default_rng(0).normal(size=(self.rows, width)).astype(np.float32)

    def engine(
        self, kind: str, settings: DagmmSettings, members: int, x: np.ndarray
    ) -> TorchEngine:
        """An engine of one of the `KINDS`."""
        options = {} if self.dry else KINDS[kind]
        start = initialise(settings, x.shape[1], range(members), x)
        return TorchEngine(x, None, start, settings, self.device, **options)

    def microseconds(self, engine: Any, batch: int, members: int) -> float:
        """A step's, its part of the copies to the device and back included: median of five runs."""
        order = np.random.default_rng(1).integers(0, self.rows, (members, self.steps, batch))
        draws = [streams(seed)[2] for seed in range(members)]
        times = []
        for _ in range(6):
            self.wait()
            started = time.perf_counter()
            engine.run(order, 1e-4, draws)
            times.append((time.perf_counter() - started) / self.steps * 1e6)
        return median(times[1:])  # the first one captures, and may compile
