"""What Prometheus is told: requests, energies, rejects, and which version answers."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flows.api.follower import Follower
from flows.api.telemetry.histograms import Rows
from flows.api.workers import Workers
from flows.shadow.worker import ShadowWorker

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Counts of one server."""

    def __init__(
        self, follower: Follower, workers: Workers, shadow: ShadowWorker | None = None
    ) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "dagmm_requests",
            "Requests by endpoint and status",
            ["endpoint", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "dagmm_request_seconds",
            "Time from the whole body to the answer",
            ["endpoint"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._refused = Counter(
            "dagmm_refused_requests",
            "Requests without a verdict, by what was wrong",
            ["reason"],
            registry=self.registry,
        )
        self._rejected = Counter(
            "dagmm_rejected_rows",
            "Rows that cannot be scored, by column and cause; their request was refused",
            ["reason"],
            registry=self.registry,
        )
        self.rows = Rows()
        self.registry.register(self.rows)
        self.registry.register(WhenAsked(lambda: _versions(follower)))
        self.registry.register(WhenAsked(lambda: _processes(workers)))
        if shadow is not None:
            self.registry.register(WhenAsked(lambda: _shadow(shadow)))

    def request(self, endpoint: str, status: int, seconds: float | None = None) -> None:
        """Count a request; `seconds` of those that were worked on."""
        self._requests.labels(endpoint, str(status)).inc()
        if seconds is not None:
            self._seconds.labels(endpoint).observe(seconds)

    def refused(self, why: str, causes: Mapping[str, int]) -> None:
        """Count a request that was refused, and the rows that were the cause."""
        self._refused.labels(why).inc()
        for cause, rows in causes.items():
            self._rejected.labels(cause).inc(rows)


@dataclass(frozen=True)
class WhenAsked(Collector):
    """Figures that somebody else keeps, and that are read when Prometheus asks."""

    read: Callable[[], Iterable[Metric]]

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        return self.read()


def _versions(follower: Follower) -> Iterable[Metric]:
    """Which version answers, which one should, and how old it is."""
    model, standing = follower.current, follower.standing
    info = GaugeMetricFamily(
        "dagmm_model_info", "The version that answers", labels=["model", "version", "detector"]
    )
    version = GaugeMetricFamily("dagmm_model_version", "Number of the version that answers")
    age = GaugeMetricFamily("dagmm_model_age_seconds", "Since that version was registered")
    limit = GaugeMetricFamily("dagmm_model_threshold", "Energy above which a row is an anomaly")
    if model is not None:
        info.add_metric([model.name, str(model.number), model.detector], 1)
        version.add_metric([], model.number)
        age.add_metric([], time.time() - model.created)
        limit.add_metric([], model.threshold)
    yield from (info, version, age, limit)
    yield GaugeMetricFamily(
        "dagmm_wanted_version",
        "Number of the version behind the alias, 0 where there is none",
        standing.wanted or 0,
    )
    yield GaugeMetricFamily(
        "dagmm_version_refused",
        "1 while the version behind the alias was refused and the one before answers",
        float(bool(standing.refusal)),
    )
    yield GaugeMetricFamily(
        "dagmm_registry_up", "Whether the registry answers", standing.registry_up
    )
    yield GaugeMetricFamily(
        "dagmm_registry_answered_timestamp_seconds",
        "When the registry last answered",
        standing.asked,
    )
    yield CounterMetricFamily("dagmm_switches", "Versions taken into service", standing.switches)
    yield CounterMetricFamily(
        "dagmm_refused_versions", "Attempts that were refused", standing.refusals
    )


def _processes(workers: Workers) -> Iterable[Metric]:
    """What scores beside the server."""
    yield GaugeMetricFamily(
        "dagmm_scoring_processes", "Processes beside the server that score", workers.running
    )
    yield CounterMetricFamily("dagmm_lost_processes", "Those that were killed", workers.lost)


def _shadow(worker: ShadowWorker) -> Iterable[Metric]:
    """How far the candidate in the shadow agrees, and what it could not keep up with."""
    pair = ["version", "candidate"]
    rows = CounterMetricFamily("dagmm_shadow_rows", "Rows that both scored", labels=pair)
    alerts = CounterMetricFamily(
        "dagmm_shadow_alerts", "Alerts, by who raises them", labels=[*pair, "raised_by"]
    )
    ranks = GaugeMetricFamily(
        "dagmm_shadow_rank_correlation", "Of the energies of both", labels=pair
    )
    if (now := worker.sitting) is not None:
        agreement, names = now.agreement, [str(now.first.number), str(now.candidate.number)]
        rows.add_metric(names, agreement.rows)
        ranks.add_metric(names, agreement.rank_correlation)
        for who, count in (
            ("both", agreement.both),
            ("version", agreement.only_first),
            ("candidate", agreement.only_second),
        ):
            alerts.add_metric([*names, who], count)
    yield from (rows, alerts, ranks)
    yield CounterMetricFamily(
        "dagmm_shadow_dropped_rows", "Rows that the candidate had no time for", worker.dropped
    )
    yield CounterMetricFamily(
        "dagmm_shadow_failures", "What went wrong in the shadow", worker.failures
    )
