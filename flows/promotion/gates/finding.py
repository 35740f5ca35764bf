"""What a gate found out: figures, and what no number says."""

from __future__ import annotations

from dataclasses import dataclass

from flows.common.verdicts import Figure


@dataclass(frozen=True)
class Finding:
    """What a gate found out; its name is the gate's affair. See `GateResult` for the fields."""

    passed: bool
    note: str = ""
    figures: tuple[Figure, ...] = ()
    measured: bool = True
    part: str = ""
    waits: bool = False


def unmeasured(note: str, *figures: Figure) -> Finding:
    """There was nothing to measure."""
    return Finding(True, note, figures, measured=False)
