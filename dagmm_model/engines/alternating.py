"""Alternating training: an optimiser for each loss, in turns, instead of one for their sum.

On every batch a step down the reconstruction loss comes first, then one down the energy and its
penalty. Each has its own moments of Adam; both move the same parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dagmm_model.base.arrays import Float
from dagmm_model.base.checkpoint import under
from dagmm_model.base.distributed import Part
from dagmm_model.engines.interface import Engine
from dagmm_model.networks.network import Parameters
from dagmm_model.networks.settings import DagmmSettings

NO_WEIGHT = float(np.finfo(np.float64).tiny)
"""A weight whose gradients are 0 in single precision. With 0 itself the first engine would have no
estimation network, and the two would not hold the same parameters."""


class AlternatingEngine(Engine):
    """Two engines of equal making, but for their settings, that hand each other the parameters."""

    def __init__(self, make: Callable[[DagmmSettings], Engine], settings: DagmmSettings) -> None:
        self.settings = settings
        first = replace(
            settings, alternating=False, lambda_energy=NO_WEIGHT, lambda_penalty=NO_WEIGHT
        )
        second = replace(settings, alternating=False, lambda_reconstruction=NO_WEIGHT)
        self._engines = {"reconstruction": make(first), "mixture": make(second)}
        self.kind = f"alternating {self._engines['mixture'].kind}"
        self.jitter = self._engines["mixture"].jitter
        self._before = self.state()

    def run(
        self,
        order: NDArray[np.int64],
        learning_rates: Float | float,
        dropout: Sequence[np.random.Generator],
        part: Part | None = None,
    ) -> Float:
        """See `dagmm_model.engines.interface.Engine.run`; the terms are those before each step."""
        self._before = self.state()
        one, other = self._engines.values()
        rates = np.broadcast_to(learning_rates, order.shape[1])
        losses = np.empty((order.shape[1], order.shape[0], 4))
        for step in range(order.shape[1]):
            rows, rate = order[:, step : step + 1], rates[step : step + 1]
            reconstruction = one.run(rows, rate, dropout, part)[0]
            _hand_over(one, other)
            mixture = other.run(rows, rate, dropout, part)[0]
            _hand_over(other, one)
            self.jitter = other.jitter
            losses[step] = np.stack(
                [np.zeros(len(order)), reconstruction[:, 1], mixture[:, 2], mixture[:, 3]], axis=1
            )
            losses[step, :, 0] = (
                self.settings.lambda_reconstruction * losses[step, :, 1]
                + self.settings.lambda_energy * losses[step, :, 2]
                + self.settings.lambda_penalty * losses[step, :, 3]
            )
            if not np.isfinite(losses[step]).all():
                return losses[: step + 1]
        return losses

    def take(self, x: NDArray[np.floating]) -> None:
        for engine in self._engines.values():
            engine.take(x)

    def parameters(self) -> Parameters:
        return self._engines["mixture"].parameters()

    def finite(self) -> bool:
        return self._engines["mixture"].finite()

    def undo(self) -> None:
        self.load(self._before)

    def state(self) -> dict[str, NDArray[np.generic]]:
        return {
            f"{name}/{key}": value
            for name, engine in self._engines.items()
            for key, value in engine.state().items()
        }

    def load(self, state: dict[str, NDArray[np.generic]]) -> None:
        for name, engine in self._engines.items():
            engine.load(under(f"{name}/", state))
        self.jitter = self._engines["mixture"].jitter

    def mean_energies(self, x: NDArray[np.floating], criterion: str) -> Float | None:
        return self._engines["mixture"].mean_energies(x, criterion)

    def mixture(self) -> tuple[Float, Float] | None:
        return self._engines["mixture"].mixture()


def _hand_over(one: Engine, other: Engine) -> None:
    """Give the parameters, without the moments, to the other engine of the same kind."""
    given = {name: v for name, v in one.state().items() if name.startswith("parameter")}
    other.load(other.state() | given)
