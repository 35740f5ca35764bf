"""Energies and p-values of scored rows as Prometheus' histograms, a whole answer at a time.

The library counts value by value, which takes a hundred times as long.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from dagmm_model.detectors.bundle import Scores
from flows.api.model import ServedModel

P_VALUES = np.array([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
QUANTILES = np.array([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0])
BEYOND = np.array([1.5, 2.0, 4.0, 8.0])
"""Buckets above the largest calibration energy, as multiples of its distance from the median."""
VERDICTS = ("normal", "alert")


@dataclass
class BucketCounts:
    """Values counted by bucket, all of an answer at once: a bucket holds what is at most its edge.

    Attributes:
        edges: Ascending, of shape ``(k,)``; a bucket above the last is added.
    """

    edges: np.ndarray
    counts: np.ndarray = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.edges) + 1, np.int64)

    def add(self, values: np.ndarray) -> None:
        """Count some values."""
        places = np.searchsorted(self.edges, values, side="left")
        self.counts += np.bincount(places, minlength=len(self.counts))
        self.total += float(values.sum())

    def buckets(self) -> list[tuple[str, int]]:
        """Cumulative, as Prometheus has them."""
        names = [*(f"{edge:g}" for edge in self.edges), "+Inf"]
        return list(zip(names, np.cumsum(self.counts).tolist(), strict=True))


def energy_edges(model: ServedModel) -> np.ndarray:
    """Edges that fit a version: energies of two detectors have no common scale.

    Quantiles of the calibration energies, the threshold, and some beyond them.
    """
    known = model.bundle.calibration
    centre, top = float(np.median(known)), float(known[-1])
    beyond = centre + BEYOND * max(top - centre, 1e-9)
    edges = [*np.quantile(known, QUANTILES), model.threshold, *beyond]
    # A bucket is named by six digits: two edges that these cannot tell apart are one.
    return np.array(sorted({float(f"{edge:g}") for edge in edges}))


class Rows(Collector):
    """Energies and p-values of the rows that got a verdict, by version."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._energies: dict[tuple[str, str], BucketCounts] = {}
        self._p_values: dict[str, BucketCounts] = {}

    def add(self, model: ServedModel, scores: Scores) -> None:
        """Count the rows of an answer."""
        version = str(model.number)
        with self._lock:
            if version not in self._p_values:
                self._p_values[version] = BucketCounts(P_VALUES)
                for verdict in VERDICTS:
                    self._energies[version, verdict] = BucketCounts(energy_edges(model))
            self._p_values[version].add(scores.p_value)
            for verdict, chosen in zip(
                VERDICTS, (~scores.is_anomaly, scores.is_anomaly), strict=True
            ):
                self._energies[version, verdict].add(scores.energy[chosen])

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        energies = HistogramMetricFamily(
            "dagmm_energy",
            "Energies of scored rows; edges are those of the version's calibration",
            labels=["version", "verdict"],
        )
        p_values = HistogramMetricFamily(
            "dagmm_p_value",
            "P-values of scored rows; uniform where nothing changed",
            labels=["version"],
        )
        with self._lock:
            for labels, tally in self._energies.items():
                energies.add_metric(labels, tally.buckets(), tally.total)
            for version, tally in self._p_values.items():
                p_values.add_metric([version], tally.buckets(), tally.total)
        yield from (energies, p_values)
