"""Entry point of deployments made before the flows had a room: `flows/benchmark.py:benchmark`."""

from flows.orchestration.benchmark_flow import benchmark

__all__ = ["benchmark"]
