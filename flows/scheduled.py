"""Entry point of deployments made before the flows had a room: `flows/scheduled.py:score`."""

from flows.orchestration.score_flow import score

__all__ = ["score"]
