"""Entry point of deployments made before the flows had a room: `flows/monitoring.py:monitor`."""

from flows.orchestration.monitor_flow import monitor

__all__ = ["monitor"]
