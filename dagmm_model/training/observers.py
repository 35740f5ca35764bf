"""What a training tells those who watch it: one record an epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class EpochLike(Protocol):
    """One epoch of training, as observers get it."""

    @property
    def epoch(self) -> int:
        """1-based."""

    @property
    def epochs(self) -> int:
        """Planned number."""

    @property
    def seconds(self) -> float:
        """Time it took."""

    @property
    def terms(self) -> Mapping[str, float]:
        """Figures by name; the first is the objective. ``validation_X`` belongs beside ``X``."""


@dataclass(frozen=True)
class Epoch:
    """An epoch of a detector with terms of its own, see `EpochLike`."""

    epoch: int
    epochs: int
    terms: Mapping[str, float]
    seconds: float


Observer = Callable[[Any], None]
"""Called with the `EpochLike` of each epoch."""
