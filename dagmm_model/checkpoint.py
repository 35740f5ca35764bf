"""Checkpoints: where they are, how often, and the errors of a folder that does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class CheckpointMismatch(ValueError):
    """The checkpoint in the folder belongs to other settings or other data."""


@dataclass(frozen=True)
class Checkpointing:
    """Write checkpoints into a folder and resume from the one that is there.

    Attributes:
        folder: made when missing; one training run has one folder.
        every_seconds: time between two checkpoints.
        data_digest: digest of the training data, if the caller has one; the digest of the scaled
            rows is compared in any case.
    """

    folder: Path
    every_seconds: float = 30.0
    data_digest: str = ""
