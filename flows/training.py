"""Entry point of deployments made before the flows had a room: `flows/training.py:train`."""

from flows.orchestration.train_flow import train

__all__ = ["train"]
